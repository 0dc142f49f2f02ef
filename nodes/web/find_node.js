import { app } from "../../scripts/app.js";

/** Finds the node of an execution id, such as 7, or 5:7 for node 7 in the subgraph that node 5 is. */
export function findNode(executionId) {
  let graph = app.rootGraph ?? app.graph.rootGraph ?? app.graph;
  let node;
  for (const id of String(executionId).split(":")) {
    node = graph?.nodes.find((candidate) => String(candidate.id) === id);
    graph = node?.subgraph;
  }
  return node;
}
