// One conversation with the server through a client for Node.js; what it saw is printed as JSON.
//
//     node conversation.js PACKAGE CONNECTION_STRING
"use strict";

const [, , packageName, connectionString] = process.argv;
const library = require(packageName);
const { ANY, BACKWARDS, NO_STREAM, START, END, WrongExpectedVersionError, StreamDeletedError, StreamNotFoundError } = library;
const Client = library.KurrentDBClient ?? library.EventStoreDBClient;

// KurrentDB's client calls it streamState, EventStoreDB's expectedRevision.
const expecting = (state) => ({ streamState: state, expectedRevision: state });
const made = (type, number) => library.jsonEvent({ type, data: { number }, metadata: { by: packageName } });

async function collect(resolvedEvents) {
  const seen = [];
  for await (const { event } of resolvedEvents) {
    seen.push(`${event.streamId}[${event.revision}] ${event.type} ${JSON.stringify(event.data)}`);
  }
  return seen;
}

// Resolves when the server has confirmed; `.events(n)` resolves with the first n events.
async function following(subscription) {
  const seen = [];
  const waiting = [];
  const check = () => waiting.filter(({ n }) => seen.length >= n).forEach(({ n, done }) => done(seen.slice(0, n)));
  subscription.on("data", ({ event }) => {
    seen.push(`${event.streamId}[${event.revision}] ${event.type}`);
    check();
  });
  await new Promise((confirmed, failed) => subscription.once("confirmation", confirmed).once("error", failed));
  return {
    events: (n) => new Promise((done) => { waiting.push({ n, done }); check(); }),
    end: () => subscription.unsubscribe(),
  };
}

async function refusal(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    const known = { WrongExpectedVersionError, StreamDeletedError, StreamNotFoundError };
    return Object.keys(known).find((name) => error instanceof known[name]) ?? String(error);
  }
}

async function main() {
  const client = Client.connectionString(connectionString);
  const seen = {};
  const all = await following(client.subscribeToAll({ fromPosition: END, filter: library.streamNameFilter({ prefixes: ["order-"] }) }));

  const first = await client.appendToStream("order-1", [made("Placed", 1), made("Paid", 2)], expecting(NO_STREAM));
  seen.firstRevision = String(first.nextExpectedRevision);
  seen.conflict = await refusal(client.appendToStream("order-1", [made("Placed", 3)], expecting(NO_STREAM)));
  const stream = await following(client.subscribeToStream("order-1", { fromRevision: START }));
  const next = await client.appendToStream("order-1", made("Shipped", 4), expecting(first.nextExpectedRevision));
  seen.nextRevision = String(next.nextExpectedRevision);
  await client.appendToStream("order-2", Array.from({ length: 100 }, (_, number) => made("Counted", number)));

  seen.forwards = await collect(client.readStream("order-1"));
  seen.backwards = await collect(client.readStream("order-1", { direction: BACKWARDS, fromRevision: END, maxCount: 1 }));
  seen.all = await collect(client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 2 }));
  const filter = library.eventTypeFilter({ regex: "^(?:Paid|Shipped)$" });
  const filtered = await following(client.subscribeToAll({ fromPosition: START, filter }));
  seen.filtered = await filtered.events(2);
  await filtered.end();
  seen.missing = await refusal(collect(client.readStream("order-3")));
  seen.streamSubscription = await stream.events(3);
  seen.allSubscription = (await all.events(103)).slice(-1);
  await stream.end();
  await all.end();

  await client.setStreamMetadata("order-2", { maxCount: 2 });
  seen.metadata = (await client.getStreamMetadata("order-2")).metadata;
  seen.truncated = await collect(client.readStream("order-2"));
  await client.deleteStream("order-1", expecting(next.nextExpectedRevision));
  seen.deleted = await refusal(collect(client.readStream("order-1")));
  await client.tombstoneStream("order-2", expecting(ANY));
  seen.tombstoned = await refusal(client.appendToStream("order-2", made("Placed", 5)));
  await client.dispose();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
