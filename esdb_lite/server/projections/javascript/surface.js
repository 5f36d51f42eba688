// The surface that a projection's query is written against, for any ECMAScript 2020 engine.
//
// Owns: the functions of a query (fromStream, when, emit ...), which handler is called with which state. Must not know:
// where events come from and where what is emitted goes. Evaluates to a function that takes what values.js gives, and
// gives the functions that the host calls, by name: load, partition, handle, remove, share. Each answers with JSON.
//
// The texts of errors are those that a real server gives as the reason of a fault.
(function (values) {
  "use strict";
  const { stateText, keyText, valueText, writtenText, flawText, message, eventOf, writtenKeys } = values;
  // The query may replace anything global: what is used here is taken first.
  const { stringify, parse } = JSON;
  const { keys, defineProperty, create, getPrototypeOf } = Object;
  const { isArray } = Array;
  const { trunc, abs } = Math;
  const { apply } = Reflect;
  const evaluate = globalThis.eval;
  const global = globalThis;

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
      if (value[key] !== undefined) pairs.push([key.toWellFormed(), writtenText(value[key], "What is emitted, in its metadata,")]);
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
    const data = writtenText(object(body, "eventBody"), "What is emitted");
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

  const NULL = "null is thrown, or the script has used up its memory";

  function failure(error, reading) {
    const place = reading && error instanceof SyntaxError ? /<[^>]*>:\d+:\d+/.exec(error.stack) : null;
    const fault = message(error) + (place ? " (" + place[0].replace(/<[^>]*>/, "<query>") + ")" : "");
    return answer({ fault, flaw: error === null ? NULL : flawText(error) });
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
      return answer({ shared: stateText(shared, "The shared state") });
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
    return steps.some((step) => !step.filters) ? writtenText(value, "The result") : stateText(value, "The result");
  }

  function outcome() {
    const text = stateText(state, "The state");
    const changes = { state: text };
    if (definition.biState) changes.shared = stateText(shared, "The shared state");
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
})
