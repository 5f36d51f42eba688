// Requests over HTTP/1.1 through a client for Node.js, beside its gRPC calls; what it saw is printed as JSON.
//
//     node http.js PACKAGE CONNECTION_STRING
"use strict";

const [, , packageName, connectionString] = process.argv;
const library = require(packageName);
const Client = library.KurrentDBClient ?? library.EventStoreDBClient;

class Refused extends Error {}

async function refusal(promise) {
  try {
    return await promise;
  } catch (error) {
    return [error.constructor.name, error.message];
  }
}

async function main() {
  const client = Client.connectionString(connectionString);
  const seen = {};
  seen.ping = await client.HTTPRequest("GET", "/ping", {});
  const info = await client.HTTPRequest("GET", "/info", {});
  seen.version = info.dbVersion ?? info.esVersion;
  const { members } = await client.HTTPRequest("GET", "/gossip", {});
  seen.states = members.map(({ state }) => state);
  const transformError = (status, text) => (status === 404 ? new Refused(text) : undefined);
  seen.nonsense = await refusal(client.HTTPRequest("POST", "/no-such-page", { transformError }));
  await client.appendToStream("order-1", library.jsonEvent({ type: "Placed", data: {} }));
  seen.afterwards = await client.HTTPRequest("GET", "/ping", {});
  await client.dispose();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
