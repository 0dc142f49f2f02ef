// @ts-check
/** Performances: their text, their keys, and where these snap to. Knows nothing of the editor. */

const FORMAT = "edtalk-performance";
const VERSION = 1;
export const EASINGS = ["linear", "ease-in", "ease-out", "ease-in-out", "hold"];
const TIME = /^(?:(?:(\d+):)?(\d+):)?(\d*\.?\d+)s?$/i;

/**
 * A key of a lane. Its values are by lane: of "emotions" the emotion and its strength, of "head" amounts by the name of
 * a base, of "mouth" a gain, of "blinks" nothing.
 * @typedef {object} Key
 * @property {number} time in seconds
 * @property {string} easing how it is reached from the key before
 * @property {string} [emotion]
 * @property {number} [strength]
 * @property {number} [gain]
 * @property {Record<string, number>} [pose]
 */

/** @typedef {"emotions" | "head" | "blinks" | "mouth"} Lane */
/** @typedef {Record<Lane, Key[]>} Performance */

/** @type {Lane[]} */
export const LANES = ["emotions", "head", "blinks", "mouth"];

/** @returns {Performance} */
export const emptyPerformance = () => ({ emotions: [], head: [], blinks: [], mouth: [] });

/** Reads a time such as 1.5, 1.5s or 0:01.5; NaN if it is none. @param {string} text */
function parseTime(text) {
  const match = TIME.exec(text);
  return match ? 3600 * Number(match[1] ?? 0) + 60 * Number(match[2] ?? 0) + Number(match[3]) : NaN;
}

/** Reads the emotions of a timeline; null if a line is wrong. @param {string} text @returns {Key[] | null} */
export function parseEmotions(text) {
  /** @type {Key[]} */
  const keys = [];
  for (const entry of text.split("\n").flatMap((line) => line.split("#")[0].split(";"))) {
    if (!entry.trim()) continue;
    const [time, expression, easing = "linear", ...rest] = entry.trim().split(/\s+/);
    const [emotion, strength = "1"] = (expression ?? "").split(":");
    const key = { time: parseTime(time), emotion, strength: Number(strength), easing };
    if (rest.length || !emotion || !Number.isFinite(key.time) || !Number.isFinite(key.strength)) return null;
    keys.push(key);
  }
  return keys;
}

/** @param {Key[]} keys */
export function formatEmotions(keys) {
  return keys
    .map(({ time, emotion, strength, easing }) => {
      const expression = emotion === "own" || strength === 1 ? emotion : `${emotion}:${strength}`;
      return [shortTime(time), expression, ...(easing === "linear" ? [] : [easing])].join(" ");
    })
    .join("\n");
}

/** @param {number} time */
const shortTime = (time) => String(Math.round(time * 1000) / 1000);

/** Reads a performance from its text; null if it is none. @param {string} text @returns {Performance | null} */
export function parsePerformance(text) {
  if (!text.trim()) return emptyPerformance();
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    return null;
  }
  if (content?.format !== FORMAT || content.format_version !== VERSION) return null;
  const emotions = parseEmotions(String(content.emotions ?? ""));
  const { head = [], blinks = [], mouth = [] } = content;
  if (!emotions || ![head, blinks, mouth].every(Array.isArray)) return null;
  /** @type {Performance} */
  const performance = {
    emotions,
    head: head.map((/** @type {any} */ { time, easing = "linear", ...pose }) => ({ time, easing, pose })),
    blinks: blinks.map((/** @type {number} */ time) => ({ time, easing: "linear" })),
    mouth: mouth.map((/** @type {any} */ { time, easing = "linear", gain }) => ({ time, easing, gain })),
  };
  const keys = LANES.flatMap((lane) => performance[lane]);
  return keys.every(({ time }) => Number.isFinite(time) && time >= 0) ? sorted(performance) : null;
}

/** Writes a performance, empty if it has no keys. @param {Performance} performance */
export function formatPerformance(performance) {
  if (!LANES.some((lane) => performance[lane].length)) return "";
  const { emotions, head, blinks, mouth } = performance;
  const time = (/** @type {Key} */ key) => Number(shortTime(key.time));
  return JSON.stringify({
    format: FORMAT,
    format_version: VERSION,
    ...(emotions.length && { emotions: formatEmotions(emotions) }),
    ...(head.length && { head: head.map((key) => ({ time: time(key), ...key.pose, easing: key.easing })) }),
    ...(blinks.length && { blinks: blinks.map(time) }),
    ...(mouth.length && { mouth: mouth.map((key) => ({ time: time(key), gain: key.gain, easing: key.easing })) }),
  });
}

/** In order of time, one key at a time. @param {Performance} performance @returns {Performance} */
function sorted(performance) {
  const result = emptyPerformance();
  for (const lane of LANES) {
    const byTime = new Map(performance[lane].map((key) => [shortTime(key.time), key]));
    result[lane] = [...byTime.values()].sort((one, other) => one.time - other.time);
  }
  return result;
}

/** @param {Performance} performance @param {Lane} lane @param {Key[]} keys @returns {Performance} */
export const withKeys = (performance, lane, keys) => sorted({ ...performance, [lane]: keys });

/** Returns the performance with one key replaced, or removed. @param {Performance} performance @param {Lane} lane @param {Key} old @param {Key | null} key */
export function withKey(performance, lane, old, key) {
  const others = performance[lane].filter((one) => one !== old);
  return withKeys(performance, lane, key ? [...others, key] : others);
}

/** Three keys that nod or shake, from where the head is and back. @param {number} time @param {string} base @param {number} amount @returns {Key[]} */
export function gesture(time, base, amount) {
  const easing = "ease-in-out";
  return [
    { time, easing, pose: {} },
    { time: time + 0.2, easing, pose: { [base]: amount } },
    { time: time + 0.4, easing, pose: { [base]: -0.3 * amount } },
    { time: time + 0.6, easing, pose: {} },
  ];
}

/**
 * The time that a time snaps to: the nearest start or end of a word within reach, else the nearest frame.
 * @param {number} time @param {number} fps @param {[number, number, string][]} words @param {number} reach in seconds
 */
export function snap(time, fps, words, reach) {
  let [nearest, least] = [Math.round(time * fps) / fps, reach];
  for (const edge of words.flatMap(([start, end]) => [start, end]))
    if (Math.abs(edge - time) < least) [nearest, least] = [Math.round(edge * 1000) / 1000, Math.abs(edge - time)];
  return Math.max(0, nearest);
}

/** The seconds of a WAV file of 16 bits, mono. @param {ArrayBuffer} wav */
export function secondsOf(wav) {
  const rate = new DataView(wav).getUint32(24, true);
  return (wav.byteLength - 44) / 2 / rate;
}

/**
 * The loudness of a WAV file of 16 bits, mono: the largest sample of each of `count` parts, from 0 to 1.
 * @param {ArrayBuffer} wav @param {number} count
 */
export function peaks(wav, count) {
  const samples = new Int16Array(wav, 44, Math.floor((wav.byteLength - 44) / 2));
  const result = new Float32Array(count);
  for (let part = 0; part < count; part++) {
    const end = Math.floor(((part + 1) * samples.length) / count);
    for (let index = Math.floor((part * samples.length) / count); index < end; index++)
      result[part] = Math.max(result[part], Math.abs(samples[index]) / 32768);
  }
  return result;
}
