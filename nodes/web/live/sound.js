// @ts-check
/** Plays part of a sound in a loop. By Web Audio: ComfyUI's security policy may forbid media elements to play it. */

export class LoopedSound {
  constructor() {
    /** @type {AudioContext | null} */
    this.context = null; // made when it is first played: browsers want a gesture of the user
    /** @type {ArrayBuffer | null} */
    this.wav = null;
    /** @type {AudioBuffer | null} */
    this.buffer = null;
    /** @type {AudioBufferSourceNode | null} */
    this.source = null;
    this.run = 0; // number of the last start, by which one that was overtaken is told
    this.loop = { start: 0, span: 1 };
    this.began = { at: 0, time: 0 }; // clock in seconds, and where in the sound it was then
  }

  /** @param {ArrayBuffer | null} wav */
  load(wav) {
    this.stop();
    this.wav = wav;
    this.buffer = null;
  }

  get clock() {
    return this.source && this.context ? this.context.currentTime : performance.now() / 1000;
  }

  /** Where in the sound it is, in seconds. */
  get time() {
    const { start, span } = this.loop;
    return start + ((this.began.time - start + this.clock - this.began.at) % span);
  }

  /**
   * Plays from a time, again and again from `start` for `span` seconds. Without a sound only the time goes on.
   * @param {number} time @param {number} start @param {number} span
   */
  async play(time, start, span) {
    this.stop();
    const run = this.run;
    this.loop = { start, span };
    const from = time >= start && time < start + span - 0.02 ? time : start;
    this.began = { at: this.clock, time: from };
    if (!this.wav) return;
    this.context ??= new AudioContext();
    this.buffer ??= await this.context.decodeAudioData(this.wav.slice(0));
    await this.context.resume();
    if (run !== this.run) return;
    const source = new AudioBufferSourceNode(this.context, { buffer: this.buffer, loop: true, loopStart: start, loopEnd: start + span });
    source.connect(this.context.destination);
    source.start(0, from);
    this.source = source;
    this.began = { at: this.clock, time: from };
  }

  stop() {
    this.run += 1;
    this.source?.stop();
    this.source = null;
  }

  close() {
    this.load(null);
    void this.context?.close();
    this.context = null;
  }
}
