// @ts-check
/** The face that answers: a canvas with the last frame, points to drag, and a sentence where there is no frame. */

const POINT_RADIUS = 7; // pixels of the screen
const REACH = 16; // of the pointer around a point

export class Picture {
  /** @param {string} label for screen readers */
  constructor(label) {
    this.element = document.createElement("div");
    this.element.className = "edtalk-stage";
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = 256;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.points = document.createElement("div");
    this.points.className = "edtalk-points";
    this.sentence = document.createElement("p");
    this.sentence.className = "edtalk-sentence";
    this.sentence.setAttribute("role", "status");
    this.element.append(this.canvas, this.points, this.sentence);
    /** @type {[number, number][]} */
    this.positions = [];
    this.hasFrame = false;
  }

  /** Paints a frame. @param {Blob} blob @param {string} handles "x,y;x,y" @param {number} since */
  async paint(blob, handles, since) {
    const bitmap = await createImageBitmap(blob);
    if (this.canvas.width !== bitmap.width) this.canvas.width = this.canvas.height = bitmap.width;
    this.canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.hasFrame = true;
    this.positions = /** @type {[number, number][]} */ (
      handles ? handles.split(";").map((pair) => pair.split(",").map(Number)) : []
    );
    this.place();
    this.say("");
    requestAnimationFrame(() => performance.measure("edtalk-frame", { start: since, end: performance.now() }));
  }

  /** Shows a sentence over the picture, or nothing. @param {string} text */
  say(text) {
    if (this.sentence.textContent !== text) this.sentence.textContent = text;
    this.sentence.hidden = !text;
  }

  /** Makes the points, one for each name. @param {string[]} names */
  setPoints(names) {
    this.points.replaceChildren(
      ...names.map((name) => {
        const point = document.createElement("span");
        point.title = name;
        return point;
      }),
    );
    this.place();
  }

  place() {
    [...this.points.children].forEach((point, index) => {
      const position = this.positions[index];
      const element = /** @type {HTMLElement} */ (point);
      element.hidden = !position;
      if (!position) return;
      element.style.left = `${100 * position[0]}%`;
      element.style.top = `${100 * position[1]}%`;
    });
  }

  /** The point under the pointer, or -1. @param {PointerEvent} event */
  pointAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = box.width / (this.canvas.offsetWidth || 1);
    let [nearest, least] = [-1, (POINT_RADIUS + REACH) * scale * 0.6];
    this.positions.forEach(([x, y], index) => {
      const distance = Math.hypot(box.left + x * box.width - event.clientX, box.top + y * box.height - event.clientY);
      if (distance < least) [nearest, least] = [index, distance];
    });
    return nearest;
  }

  /** Marks a point. @param {number} index */
  highlight(index) {
    [...this.points.children].forEach((point, place) => point.classList.toggle("edtalk-active", place === index));
  }

  /** A movement of the pointer as a share of the picture. @param {PointerEvent} event */
  share(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX / box.width, y: event.clientY / box.height };
  }
}
