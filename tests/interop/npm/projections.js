// Projections through a client for Node.js; what it saw is printed as JSON.
//
//     node projections.js PACKAGE CONNECTION_STRING
"use strict";

const [, , packageName, connectionString] = process.argv;
const library = require(packageName);
const Client = library.KurrentDBClient ?? library.EventStoreDBClient;

const PATIENCE = 20000;
const COUNT = "fromStream('counted').when({ $init() { return 0 }, Counted(state, event) { return state + 1 } })";
const COPY = "fromStream('done').when({ $any(state, event) { linkTo('by-' + event.data.who, event); emit('copies', 'Copied', { of: event.eventType }) } })";
const BY_STREAM = "fromCategory('by').foreachStream().when({ $init: () => ({ n: 0 }), Napped(state) { state.n++ }, Ate(state) { state.n += 10 } })";
const TWICE = COUNT.replace("state + 1", "state + 2");

// Asks again until the answer is the expected one.
async function until(ask, expected) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (JSON.stringify(answer) === JSON.stringify(expected) || Date.now() > end) return answer;
    await new Promise((done) => setTimeout(done, 10));
  }
}

async function collect(resolvedEvents) {
  const seen = [];
  for await (const { event } of resolvedEvents) seen.push(`${event.type} ${JSON.stringify(event.data)}`);
  return seen;
}

async function refusal(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return error instanceof library.NotFoundError ? "NotFoundError" : String(error);
  }
}

async function main() {
  const client = Client.connectionString(connectionString);
  const append = (stream, ...events) => client.appendToStream(stream, events.map(([type, data]) => library.jsonEvent({ type, data })));
  const status = async (name) => (await client.getProjectionStatus(name)).projectionStatus;
  const seen = {};

  await client.createProjection("count", COUNT);
  seen.created = await status("count");
  await append("counted", ["Counted", 1], ["Counted", "text"], ["Other", {}]);
  seen.state = await until(() => client.getProjectionState("count"), 2);
  seen.result = await client.getProjectionResult("count");

  await client.disableProjection("count");
  seen.disabled = await status("count");
  await client.enableProjection("count");
  seen.enabled = await status("count");
  await client.updateProjection("count", TWICE);
  await append("counted", ["Counted", {}]);
  seen.updated = await until(() => client.getProjectionState("count"), 4);
  await client.resetProjection("count");
  seen.reset = await until(() => client.getProjectionState("count"), 6);
  await client.abortProjection("count");
  seen.aborted = await status("count");

  await client.createProjection("copy", COPY, { emitEnabled: true, trackEmittedStreams: true });
  await client.createProjection("by-stream", BY_STREAM);
  await append("done", ["Napped", { who: "a" }], ["Ate", { who: "b" }], ["Napped", { who: "a" }]);
  const states = () => Promise.all(["by-a", "by-b"].map((partition) => client.getProjectionState("by-stream", { partition })));
  seen.partitions = await until(states, [{ n: 2 }, { n: 10 }]);
  seen.partitionResult = await client.getProjectionResult("by-stream", { partition: "by-a" });
  seen.emitted = await collect(client.readStream("copies"));
  seen.tracked = (await collect(client.readStream("$projections-copy-emittedstreams"))).length;

  const mine = (found) => found.filter(({ name }) => !name.startsWith("$")).map(({ name, projectionStatus }) => `${name} ${projectionStatus}`);
  seen.listed = mine(await client.listProjections()).sort();
  seen.system = (await client.listProjections()).length - seen.listed.length;
  await client.createProjection("wrong", "fromAll(");
  seen.wrong = await status("wrong");

  await client.disableProjection("count");
  await client.deleteProjection("count", { deleteCheckpointStream: true, deleteStateStream: true });
  seen.deleted = await refusal(client.getProjectionStatus("count"));
  seen.missing = await Promise.all([
    client.enableProjection("none"), client.disableProjection("none"), client.abortProjection("none"),
    client.resetProjection("none"), client.updateProjection("none", COUNT), client.deleteProjection("none"),
    client.getProjectionState("none"), client.getProjectionResult("none"),
  ].map(refusal));
  await client.restartSubsystem();
  seen.restarted = await until(states, [{ n: 2 }, { n: 10 }]);
  await client.dispose();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
