"use strict";
// Answers stay in this browser until they are saved as a file; nothing is sent anywhere.
const STORE = `edtalk-study-${STUDY.study}`;
const QUESTIONS = ["lip", "real", "emotion"];
const byId = (id) => document.getElementById(id);
let state;

function randomBelow(bound) {
  const limit = Math.floor(2 ** 32 / bound) * bound;
  for (;;) {
    const [value] = crypto.getRandomValues(new Uint32Array(1));
    if (value < limit) return value % bound;
  }
}

function shuffled(items) {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = randomBelow(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function newState() {
  const participant = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
  return { participant, order: shuffled(STUDY.items.map((item) => item.id)), answers: {}, at: 0 };
}

function load() {
  try {
    const saved = JSON.parse(localStorage.getItem(STORE));
    if (saved && saved.order.length === STUDY.items.length) return saved;
  } catch (error) {
    console.warn("answers from before cannot be read", error);
  }
  return newState();
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(state));
  } catch (error) {
    // Private windows have no room: the answers last as long as the page.
    console.warn("answers cannot be kept", error);
  }
}

function choices(question, values) {
  for (const value of values) {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: question, value, required: true });
    const label = document.createElement("label");
    label.append(input, ` ${value}`);
    byId(question).append(label);
  }
}

function show(section) {
  for (const id of ["welcome", "trial", "end"]) byId(id).hidden = id !== section;
}

function showTrial() {
  if (state.at >= state.order.length) {
    show("end");
    return;
  }
  show("trial");
  const id = state.order[state.at];
  byId("place").textContent = `Clip ${state.at + 1} of ${state.order.length}`;
  byId("video").src = STUDY.items.find((item) => item.id === id).video;
  byId("back").disabled = state.at === 0;
  byId("form").reset();
  const answer = state.answers[id] ?? {};
  for (const question of QUESTIONS) {
    for (const input of document.getElementsByName(question)) input.checked = String(answer[question]) === input.value;
  }
}

function answerTrial() {
  const form = new FormData(byId("form"));
  state.answers[state.order[state.at]] = {
    lip: Number(form.get("lip")), real: Number(form.get("real")), emotion: form.get("emotion"),
  };
}

function move(step) {
  state.at += step;
  keep();
  showTrial();
}

byId("start").addEventListener("click", showTrial);
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  answerTrial();
  move(1);
});
byId("back").addEventListener("click", () => move(-1));
byId("review").addEventListener("click", () => move(-state.at));
byId("save").addEventListener("click", () => {
  const { participant, order, answers } = state;
  const content = JSON.stringify({ format: "edtalk-study", study: STUDY.study, participant, order, answers }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.download = `answers-${participant}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
});
choices("lip", STUDY.scale);
choices("real", STUDY.scale);
choices("emotion", STUDY.emotions);
state = load();
if (state.at > 0) showTrial();
