// @ts-check
/** Elements of a page. */

/**
 * @param {string} tag @param {string} name its class @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} [children]
 * @returns {HTMLElement}
 */
export function element(tag, name, attributes = {}, children = []) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** @param {string} sign @param {string} label what it does, for a tooltip and for screen readers @param {() => void} press */
export function button(sign, label, press) {
  const made = /** @type {HTMLButtonElement} */ (element("button", "", { type: "button", title: label, "aria-label": label }, [sign]));
  made.addEventListener("click", press);
  return made;
}

/** A titled group that folds, or null without children. @param {string} title @param {HTMLElement[]} children @param {boolean} open */
export function group(title, children, open) {
  if (!children.length) return null;
  const made = element("details", "edtalk-group", open ? { open: "" } : {}, [element("summary", "", {}, [title]), ...children]);
  return made;
}
