// @ts-check
/** The preview service: one request at a time, of those that wait only the newest is sent. */

const RETRY_MS = 400;
const BUSY = 423;
const NOTHING_YET = 409;

/**
 * @typedef {object} Source
 * @property {string} graph the graph's id
 * @property {string} node the node's execution id
 */

/** A request that the service refused; the message is its sentence. */
export class Refused extends Error {
  /** @param {number} status @param {string} sentence */
  constructor(status, sentence) {
    super(sentence);
    this.busy = status === BUSY;
    this.nothingYet = status === NOTHING_YET;
  }
}

export class LiveClient {
  /**
   * @param {{fetchApi: (path: string, options: RequestInit) => Promise<Response>}} api
   * @param {() => Source} source
   */
  constructor(api, source) {
    this.api = api;
    this.source = source;
    this.name = crypto.randomUUID?.() ?? String(Math.random()); // randomUUID is for secure origins only
    this.number = 0;
    /** @type {{text: string, seconds: number, since: number} | null} */
    this.waiting = null;
    this.sending = false;
    this.closed = false;
  }

  /** @param {string} path @param {object} fields */
  async post(path, fields) {
    const response = await this.api.fetchApi(`/edtalk/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...this.source(), ...fields }),
    });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    throw new Refused(response.status, error ?? response.statusText);
  }

  async describe() {
    return (await this.post("describe", {})).json();
  }

  async sound() {
    return (await this.post("sound", {})).arrayBuffer();
  }

  /** @param {string} text @param {string} name */
  async savePreset(text, name) {
    return (await (await this.post("preset", { text, name })).json()).file;
  }

  /**
   * Asks for a frame. Only the newest request that waits is sent; the answer goes to `onFrame`, a refusal to `onRefusal`.
   * @param {string} text @param {number} seconds @param {number} since the time of the event that asks for it
   */
  request(text, seconds, since) {
    this.waiting = { text, seconds, since };
    if (!this.sending) void this.send();
  }

  async send() {
    this.sending = true;
    while (this.waiting && !this.closed) {
      const asked = this.waiting;
      this.waiting = null;
      try {
        const { text, seconds } = asked;
        const response = await this.post("frame", { client: this.name, number: ++this.number, text, seconds });
        if (response.status === 200) await this.onFrame(await response.blob(), response.headers.get("EDTalk-Handles") ?? "", asked);
      } catch (refusal) {
        if (!(refusal instanceof Refused)) console.warn("EDTalk: the preview failed", refusal);
        this.onRefusal(/** @type {Error} */ (refusal));
        if (refusal instanceof Refused && refusal.busy) {
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
          this.waiting ??= asked;
        }
      }
    }
    this.sending = false;
  }

  /** @param {Blob} blob @param {string} handles @param {{since: number, seconds: number}} asked */
  async onFrame(blob, handles, asked) {}

  /** @param {Error} refusal */
  onRefusal(refusal) {}

  close() {
    this.closed = true;
  }
}
