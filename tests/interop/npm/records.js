// Atomic appends to several streams through a client for Node.js; what it saw is printed as JSON.
//
//     node records.js PACKAGE CONNECTION_STRING
"use strict";

const [, , packageName, connectionString] = process.argv;
const library = require(packageName);
const { ANY, NO_STREAM } = library;

const made = (type, number) => library.jsonEvent({ type, data: { number }, metadata: { by: "me" } });
const record = (streamName, type, number) => ({ streamName, record: made(type, number) });
const check = (streamName, expectedState) => ({ type: "stream_state", streamName, expectedState });
const positions = ({ responses }) => responses.map(({ streamName, revision }) => `${streamName}[${revision}]`);

async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    const violations = (error.violations ?? []).map(
      (found) => `${found.checkIndex} ${found.streamName}: ${found.expectedState}, ${found.actualState}`,
    );
    return [error.constructor.name, ...violations];
  }
  return ["done"];
}

async function read(client, streamName) {
  const seen = [];
  for await (const { event } of client.readStream(streamName)) {
    seen.push(`${event.type} ${JSON.stringify(event.data)} ${JSON.stringify(event.metadata)}`);
  }
  return seen;
}

async function main() {
  const client = library.KurrentDBClient.connectionString(connectionString);
  const seen = {};
  const session = (expectedState) =>
    client.multiStreamAppend([
      { streamName: "a", expectedState, events: [made("A", 1), made("B", 2)] },
      { streamName: "b", expectedState: ANY, events: [made("C", 3)] },
    ]);
  seen.session = positions(await session(NO_STREAM));
  seen.conflict = await refusal(session(NO_STREAM));
  seen.records = positions(
    await client.appendRecords([record("a", "D", 4), record("b", "E", 5), record("a", "F", 6)], [check("c", NO_STREAM)]),
  );
  const wrong = [check("a", 3n), check("b", 7n), check("c", 0n)];
  seen.violations = await refusal(client.appendRecords([record("d", "G", 7)], wrong));
  seen.a = await read(client, "a");
  seen.b = await read(client, "b");
  await client.tombstoneStream("b");
  seen.tombstoned = await refusal(client.appendRecords([record("b", "H", 8)]));
  await client.dispose();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
