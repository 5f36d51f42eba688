// The surface that a projection's query is written against, for any ECMAScript 2020 engine.
//
// Owns: the functions of a query (fromStream, when, emit ...), the event object, how values become text.
// Must not know: where events come from and where what is emitted goes. Evaluates to a function that gives the
// functions that the host calls, by name: load, partition, handle, remove, share. Each answers with JSON.
//
// The texts of errors are those that a real server gives as the reason of a fault.
(function () {
  "use strict";
  // The query may replace anything global: what is used here is taken first.
  const { stringify, parse } = JSON;
  const { keys, defineProperty, create, getPrototypeOf } = Object;
  const { isArray } = Array;
  const { isView } = ArrayBuffer;
  const { trunc, abs } = Math;
  const { isFinite: finite } = Number;
  const { test } = RegExp.prototype;
  const { apply } = Reflect;
  const evaluate = globalThis.eval;
  const global = globalThis;
  const MAX_DEPTH = 64;

  // ---- numbers and values as text -------------------------------------------------------------------------------

  function numberText(value) {
    if (value === 0) return 1 / value < 0 ? "-0" : "0";
    if (!finite(value)) return value !== value ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
    const size = abs(value);
    if (size >= 1e-4 && size < 1e17) return String(value);
    const [digits, exponent] = value.toExponential().split("e");
    const power = exponent.slice(1);
    return digits + "E" + exponent[0] + (power.length < 2 ? "0" + power : power);
  }

  const PLAIN = /^[ !#-\[\]-~]*$/;
  const PLAIN_KEY = /^[ !#$%()*,\-.\/0-;=?-\[\]-_a-~]*$/;
  const ESCAPED = /["\\\x00-\x1f\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]|\p{Cn}|\p{Co}|\p{Cs}|[\u{10000}-\u{10ffff}]/gu;
  const ESCAPED_IN_KEYS = /["\\<>&'+`\x00-\x1f]|[^\x00-\x7e]/gu;
  const SHORT = { "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

  function unit(code) {
    return "\\u" + code.toString(16).toUpperCase().padStart(4, "0");
  }

  function escape(character) {
    if (SHORT[character] !== undefined) return SHORT[character];
    if (character.length === 2) return unit(character.charCodeAt(0)) + unit(character.charCodeAt(1));
    const code = character.charCodeAt(0);
    return code >= 0xd800 && code <= 0xdfff ? "\\uFFFD" : unit(code);
  }

  function quoted(text) {
    if (apply(test, PLAIN, [text])) return '"' + text + '"';
    return '"' + text.replace(ESCAPED, (found) => (found === '"' ? '\\"' : escape(found))) + '"';
  }

  function quotedKey(text) {
    if (apply(test, PLAIN_KEY, [text])) return '"' + text + '"';
    return '"' + text.replace(ESCAPED_IN_KEYS, escape) + '"';
  }

  function valueText(value, depth) {
    switch (typeof value) {
      case "string": return quoted(value);
      case "number":
        if (finite(value)) return numberText(value);
        throw new Error(".NET number values such as positive and negative infinity cannot be written as valid JSON.");
      case "boolean": return value ? "true" : "false";
      case "bigint": return '"' + String(value) + '"';
      case "symbol": throw new Error("Cannot serialize Symbol as primitive");
      case "undefined": return "null";
      case "function": throw new Error("Index was outside the bounds of the array.");
    }
    if (value === null) return "null";
    if (depth >= MAX_DEPTH) throw new Error("Index was outside the bounds of the array.");
    return isArray(value) ? arrayText(value, depth + 1) : objectText(value, depth + 1);
  }

  function arrayText(array, depth) {
    let text = "[";
    for (let at = 0; at < array.length; at++) text += (at ? "," : "") + valueText(array[at], depth);
    return text + "]";
  }

  function objectText(object, depth) {
    let text = "";
    for (const key of writtenKeys(object)) {
      const value = object[key];
      if (value !== undefined) text += (text ? "," : "") + quotedKey(key) + ":" + valueText(value, depth);
    }
    return "{" + text + "}";
  }

  function writtenKeys(object) {
    if (object instanceof Event) return everythingOf(object);
    if (object instanceof Error) return ["message", "stack"];
    if (object instanceof String) return ["length"];
    if (object instanceof RegExp) return ["lastIndex"];
    return isView(object) ? [] : keys(object);
  }

  function stateText(state) {
    if (state === null || state === undefined) return "";
    return typeof state === "string" ? state.toWellFormed() : valueText(state, 0);
  }

  function keyText(key) {
    if (typeof key === "string") return key.toWellFormed();
    return typeof key === "number" ? numberText(key) : null;
  }

  function message(thrown) {
    const text = thrown instanceof Error ? thrown.message : thrown;
    try {
      return String(text).replace(/^cannot read/, "Cannot read").toWellFormed();
    } catch {
      return "an error that has no text";
    }
  }

  // ---- the event ------------------------------------------------------------------------------------------------

  const LAZY = ["body", "data", "metadata", "linkMetadata"];
  const fixed = { value: undefined, enumerable: true, writable: false, configurable: false };

  function fix(object, name, value) {
    fixed.value = value;
    defineProperty(object, name, fixed);
    return value;
  }

  class Event {}
  // An event is a plain object to the query, whose prototype makes four more properties when they are first read.
  const eventPrototype = Event.prototype;
  defineProperty(eventPrototype, "constructor", { value: Object });

  function lazily(name, read) {
    defineProperty(eventPrototype, name, { configurable: false, enumerable: false, set() {}, get() {
      return fix(this, name, read(this));
    } });
  }

  function parsedBody(event) {
    if (!event.isJson) return undefined;
    const body = parse(event.bodyRaw);
    if (body !== null && typeof body === "object") return body;
    throw new TypeError("Unable to cast object of type '" + (body === null ? "null" : typeof body) + "' to type 'object'.");
  }

  lazily("body", parsedBody);
  lazily("data", (event) => event.body);
  lazily("metadata", (event) => (event.metadataRaw === null ? null : parse(event.metadataRaw)));
  lazily("linkMetadata", (event) => (event.linkMetadataRaw === null ? null : parse(event.linkMetadataRaw)));

  function everythingOf(event) {
    for (const name of LAZY) {
      try {
        void event[name];
      } catch {
        // What is not JSON is left out.
      }
    }
    return keys(event);
  }

  function eventOf(partition, created, bodyRaw, metadataRaw, streamId, eventId, eventType, linkMetadataRaw, isJson, category, sequenceNumber) {
    const event = new Event();
    fix(event, "partition", partition);
    fix(event, "created", created);
    fix(event, "bodyRaw", bodyRaw);
    fix(event, "metadataRaw", metadataRaw);
    fix(event, "streamId", streamId);
    fix(event, "eventId", eventId);
    fix(event, "eventType", eventType);
    fix(event, "linkMetadataRaw", linkMetadataRaw);
    fix(event, "isJson", isJson);
    fix(event, "category", category);
    fix(event, "sequenceNumber", sequenceNumber);
    return event;
  }

  // ---- definitions ----------------------------------------------------------------------------------------------

  const definition = {
    all: false, streams: [], categories: [], byStream: false, byCustom: false, events: [], anyEvent: false,
    deleted: false, biState: false, output: false, transforms: false, includeLinks: false, reorder: false, lag: null,
    resultStream: null, resultPattern: null,
  };
  const handlers = new Map();
  const special = create(null);
  const steps = [];
  let partitioner = null;

  // A call of a step that may not come here says its name.
  function chain(members) {
    return new Proxy(members, {
      get(target, name) {
        if (name in target || typeof name === "symbol") return target[name];
        return () => { throw new TypeError("Property '" + name + "' of object is not a function"); };
      },
    });
  }

  function source(byStream) {
    const members = { when, partitionBy, outputState };
    if (byStream) members.foreachStream = foreachStream;
    return chain(members);
  }

  function transforming() {
    return chain({ transformBy, filterBy, outputState, outputTo });
  }

  function nonEmptyText(value, name) {
    if (typeof value !== "string" || value === "") throw new Error(name);
    return value;
  }

  function texts(values, name) {
    const list = values.length === 1 && isArray(values[0]) ? values[0] : values;
    for (const value of list) if (typeof value !== "string") throw new Error(name);
    return list;
  }

  function addStreams(names) {
    for (const name of names) if (!definition.streams.includes(name)) definition.streams.push(name);
    return source(false);
  }

  function fromAll() {
    definition.all = true;
    return source(true);
  }

  function fromStream(name) {
    return addStreams([nonEmptyText(name, "stream")]);
  }

  function fromStreams(...names) {
    return addStreams(texts(names, "streams"));
  }

  function fromCategory(...names) {
    if (names.length === 0) return chain({});
    const several = names.length > 1 || isArray(names[0]);
    const categories = texts(names, "category");
    if (several) {
      addStreams(categories.map((name) => "$ce-" + name));
    } else if (!definition.categories.includes(categories[0])) {
      definition.categories.push(categories[0]);
    }
    return source(true);
  }

  function fromCategories(...names) {
    addStreams(texts(names, "categories").map((name) => "$ce-" + name));
    return source(true);
  }

  function foreachStream() {
    definition.byStream = true;
    return chain({ when });
  }

  function partitionBy(by) {
    if (typeof by !== "function") throw new Error("partitionBy");
    definition.byCustom = true;
    partitioner = by;
    return chain({ when });
  }

  function when(named) {
    if (named !== null && typeof named === "object") {
      for (const name of keys(named)) if (typeof named[name] === "function") register(name, named[name]);
    }
    return chain({ transformBy, filterBy, outputState, outputTo, $defines_state_transform });
  }

  function register(name, handler) {
    switch (name) {
      case "$init": case "$created": break;
      case "$initShared": definition.biState = true; break;
      case "$any":
        if (definition.events.length > 0) throw new Error("Both AllEvents and specific event filters cannot be set");
        definition.anyEvent = true;
        break;
      case "$deleted":
        if (!definition.byStream) throw new Error("Deleted stream notifications are only supported with foreachStream()");
        if (definition.biState) throw new Error("Cannot handle deletes in bi-state projections");
        definition.deleted = true;
        break;
      default:
        if (!definition.events.includes(name)) definition.events.push(name);
        handlers.set(name, handler);
        return;
    }
    special[name] = handler;
  }

  function transformBy(by) {
    return transform(by, false);
  }

  function filterBy(by) {
    return transform(by, true);
  }

  function transform(by, filters) {
    if (typeof by !== "function") throw new Error("expected function");
    definition.output = definition.transforms = true;
    steps.push({ by, filters });
    return transforming();
  }

  function outputState() {
    definition.output = true;
    return chain({ transformBy, filterBy, outputTo });
  }

  function $defines_state_transform() {
    definition.output = true;
  }

  function outputTo(stream, pattern) {
    if (arguments.length === 0 || arguments.length > 2) throw new Error("invalid number of parameters");
    if (typeof stream !== "string") throw new Error("expected string value (Parameter 'resultStream')");
    if (arguments.length === 2 && typeof pattern !== "string") {
      throw new Error("expected string value (Parameter 'partitionResultStreamPattern')");
    }
    definition.resultStream = stream;
    if (pattern !== undefined) definition.resultPattern = pattern;
  }

  const OPTIONS = {
    $includelinks: ["includeLinks", "boolean"],
    resultstreamname: ["resultStream", "string"],
    reorderevents: ["reorder", "boolean"],
    processinglag: ["lag", "number"],
    bistate: ["biState", "boolean"],
  };

  function options(given) {
    if (given === null || typeof given !== "object") return;
    for (const name of keys(given)) {
      const option = OPTIONS[name.toLowerCase()];
      if (option === undefined) throw new Error("Unrecognized option: " + name);
      if (typeof given[name] !== option[1]) throw new Error("Invalid value");
      definition[option[0]] = given[name];
    }
  }

  const definers = {
    options, fromStream, fromStreams, fromCategory, fromCategories, fromAll,
    on_event: (name, handler) => register(String(name), handler),
    on_any: (handler) => register("$any", handler),
  };

  // ---- what handlers call ---------------------------------------------------------------------------------------

  let emitted = [];
  let logged = [];
  let mayEmit = null; // why emitting is refused here

  function log(...values) {
    for (const value of values) logged.push(typeof value === "string" ? value : logText(value));
  }

  function logText(value) {
    try {
      return value === undefined ? "undefined" : valueText(value, 0);
    } catch {
      return String(value);
    }
  }

  function target(value, name) {
    if (value === undefined || value === null || value === "") throw new Error("Value cannot be null. (Parameter '" + name + "')");
    if (typeof value !== "string") throw new Error("string expected (Parameter '" + name + "')");
    return value.toWellFormed();
  }

  function object(value, name) {
    if (value === null) throw new Error("Value cannot be null. (Parameter '" + name + "')");
    if (typeof value !== "object") throw new Error("object expected (Parameter '" + name + "')");
    return value;
  }

  function metadataOf(value, name) {
    if (value === null || typeof value !== "object") throw new Error("object expected (Parameter '" + name + "')");
    const pairs = [];
    for (const key of writtenKeys(value)) {
      if (value[key] !== undefined) pairs.push([key.toWellFormed(), valueText(value[key], 0)]);
    }
    return pairs;
  }

  function put(stream, type, isJson, data, metadata) {
    if (mayEmit !== null) throw new Error(mayEmit);
    emitted.push([stream, type, isJson, data, metadata]);
  }

  function emit(stream, type, body, metadata) {
    if (arguments.length < 3) throw new Error("invalid number of parameters");
    const into = target(stream, "streamId");
    const named = target(type, "eventName");
    const data = valueText(object(body, "eventBody"), 0);
    put(into, named, true, data, arguments.length === 4 ? metadataOf(metadata, "metadata") : []);
  }

  function linkTo(stream, event, metadata) {
    if (arguments.length !== 2 && arguments.length !== 3) throw new Error("wrong number of parameters");
    const into = target(stream, "streamId");
    const { sequenceNumber, streamId } = object(event, "event");
    if (typeof sequenceNumber !== "number" || typeof streamId !== "string") {
      throw new Error("Invalid link to event " + sequenceNumber + "@" + streamId);
    }
    const number = abs(sequenceNumber) < 2 ** 63 ? BigInt(trunc(sequenceNumber)) : 2n ** 63n - 1n;
    if (arguments.length === 3 && metadata === null) throw new Error("Value cannot be null. (Parameter 'metaData')");
    put(into, "$>", false, number + "@" + streamId.toWellFormed(), arguments.length === 3 ? metadataOf(metadata, "metaData") : []);
  }

  function linkStreamTo(stream, other, metadata) {
    if (arguments.length !== 2 && arguments.length !== 3) throw new Error("wrong number of parameters");
    if (arguments.length === 3) throw new Error("The value is not an object");
    put(target(stream, "streamId"), "$@", false, target(other, "linkedStreamId"), []);
  }

  function copyTo() {}

  // ---- what the host calls --------------------------------------------------------------------------------------

  function publish(functions) {
    for (const name of keys(functions)) {
      defineProperty(global, name, { value: functions[name], enumerable: false, writable: true, configurable: true });
    }
  }

  function withoutCompilation() {
    const refuse = function () { throw new EvalError("String compilation has been disabled in engine options"); };
    const kinds = [function () {}, async function () {}, function* () {}, async function* () {}];
    for (const kind of kinds) {
      defineProperty(getPrototypeOf(kind), "constructor", { value: refuse, configurable: true });
    }
    refuse.prototype = Function.prototype;
    publish({ eval: refuse, Function: refuse });
  }

  function read(query) {
    try {
      return evaluate(query);
    } catch (error) {
      // `return` is allowed outside of functions, which takes one around it.
      if (!(error instanceof SyntaxError && /return/.test(error.message))) throw error;
      return evaluate("(function () {\n" + query + "\n})()");
    }
  }

  function load(query) {
    publish({ ...definers, log });
    withoutCompilation();
    mayEmit = "";
    try {
      read(query);
    } catch (error) {
      return failure(error, true);
    } finally {
      for (const name of keys(definers)) delete global[name];
    }
    publish({ emit, linkTo, linkStreamTo, copyTo });
    return answer({ definition });
  }

  function failure(error, reading) {
    const place = reading && error instanceof SyntaxError ? /<[^>]*>:\d+:\d+/.exec(error.stack) : null;
    return answer({ fault: message(error) + (place ? " (" + place[0].replace(/<[^>]*>/, "<query>") + ")" : "") });
  }

  function answer(content) {
    if (logged.length > 0) {
      content.logged = logged;
      logged = [];
    }
    return stringify(content);
  }

  function partition(...event) {
    mayEmit = "events must share the same CausedByTag";
    try {
      return answer({ partition: keyText(apply(partitioner, undefined, [eventOf("", ...event)])) });
    } catch (error) {
      return failure(error);
    }
  }

  const LIVE = 0;
  const NEW = 2;
  let state;
  let shared;
  let oldText = "";

  function init(name) {
    const initial = special[name];
    if (initial === undefined) return {};
    mayEmit = "Value cannot be null. (Parameter 'causedByTag')";
    const value = apply(initial, undefined, []);
    mayEmit = null;
    return value === undefined ? null : value;
  }

  function parsed(text) {
    return parse(text);
  }

  // `how`: LIVE, the state is the one of the last call; else it is what the text says, or that of $init.
  function place(how, text) {
    if (how === LIVE) return;
    oldText = text;
    state = text === "" ? init("$init") : parsed(text);
  }

  function share(text) {
    try {
      shared = text === "" ? init("$initShared") : parsed(text);
      return answer({ shared: stateText(shared) });
    } catch (error) {
      return failure(error);
    }
  }

  function run(handler, ...more) {
    const given = definition.biState ? [state, shared] : state;
    const returned = apply(handler, undefined, [given, ...more]);
    accept(returned === undefined ? given : returned);
  }

  function accept(value) {
    if (!definition.biState) {
      state = value;
      return;
    }
    if (!isArray(value)) throw new Error("Value cannot be null. (Parameter 'data')");
    state = value[0];
    shared = value[1];
  }

  function handlerOf(event) {
    const named = handlers.get(event.eventType);
    return named === undefined && handlers.size === 0 ? special.$any : named;
  }

  function result() {
    let value = state;
    for (const step of steps) {
      const given = apply(step.by, undefined, [value]);
      if (!step.filters) value = given;
      else if (given !== true) return "";
      if (value === null || value === undefined) return "";
    }
    return steps.some((step) => !step.filters) ? valueText(value, 0) : stateText(value);
  }

  function outcome() {
    const text = stateText(state);
    const changes = { state: text };
    if (definition.biState) changes.shared = stateText(shared);
    if (definition.transforms && text !== oldText) changes.result = result();
    oldText = text;
    if (emitted.length > 0) changes.emitted = emitted;
    return answer(changes);
  }

  function handle(how, text, ...parts) {
    emitted = [];
    mayEmit = null;
    try {
      place(how, text);
      const event = eventOf(...parts);
      if (how === NEW && special.$created !== undefined) run(special.$created, event);
      const handler = handlerOf(event);
      if (handler !== undefined) run(handler, event);
      else if (definition.events.length === 0) accept(event.bodyRaw);
      return outcome();
    } catch (error) {
      return failure(error);
    }
  }

  function remove(how, text, partition) {
    emitted = [];
    mayEmit = null;
    try {
      place(how, text);
      apply(special.$deleted, undefined, [state, null, partition, false]);
      return outcome();
    } catch (error) {
      return failure(error);
    }
  }

  const functions = { load, partition, handle, remove, share };
  // Texts with a zero among their characters, which some hosts cut off there, come as JSON.
  functions.with_json = (name, text) => apply(functions[name], undefined, parse(text));
  return (name) => functions[name];
})();
