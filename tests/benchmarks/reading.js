// Reads a stream with a client for Node.js, some times over; what each time took is printed as JSON.
//
//     node reading.js PACKAGE CONNECTION_STRING STREAM EVENTS TIMES
"use strict";

const [, , packageName, connectionString, stream, events, times] = process.argv;
const library = require(packageName);
const Client = library.KurrentDBClient ?? library.EventStoreDBClient;

async function read(client, maxCount) {
  let seen = 0;
  for await (const { event } of client.readStream(stream, { maxCount })) {
    seen += event === undefined ? 0 : 1;
  }
  return seen;
}

async function main() {
  const client = Client.connectionString(connectionString);
  await read(client, 10);
  const taken = [];
  for (let time = 0; time < Number(times); time++) {
    const began = performance.now();
    const cpu = process.cpuUsage();
    const seen = await read(client, Number(events));
    const { user, system } = process.cpuUsage(cpu);
    taken.push({ events: seen, seconds: (performance.now() - began) / 1e3, cpu: (user + system) / 1e6 });
  }
  console.log(JSON.stringify(taken));
  await client.dispose?.();
  process.exit(0);
}

main();
