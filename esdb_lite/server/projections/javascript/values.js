// Values as text, and the event object, for any ECMAScript 2020 engine.
//
// Owns: how states, results, keys and emitted data are written (it is not JSON.stringify), what handlers find on an event.
// Must not know: queries, the host. Evaluates to a function that gives the functions named at its end.
(function () {
  "use strict";
  // The query may replace anything global: what is used here is taken first.
  const { parse } = JSON;
  const { keys, defineProperty } = Object;
  const { isArray } = Array;
  const { isView } = ArrayBuffer;
  const { abs } = Math;
  const { isFinite: finite } = Number;
  const { test } = RegExp.prototype;
  const { slice } = String.prototype;
  const { apply } = Reflect;
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

  // An expression takes memory for each character that it has matched: long texts are looked through in pieces.
  const PIECE = 16384;

  function isPlain(text) {
    if (text.length <= PIECE) return apply(test, PLAIN, [text]);
    for (let at = 0; at < text.length; at += PIECE) {
      if (!apply(test, PLAIN, [apply(slice, text, [at, at + PIECE])])) return false;
    }
    return true;
  }

  function quoted(text) {
    if (isPlain(text)) return '"' + text + '"';
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

  function stateText(state, name) {
    if (state === null || state === undefined) return "";
    return typeof state === "string" ? state.toWellFormed() : writtenText(state, name);
  }

  // ---- what cannot be written -----------------------------------------------------------------------------------

  let failed = null; // what was thrown last for such a value
  let flaw = "";
  const LONGEST_PATH = 200;
  const NAME = /^[A-Za-z_$][\w$]*$/;

  // The text of a value; where it has none it is noted why not, in words that say more than those that are thrown.
  function writtenText(value, name) {
    try {
      return valueText(value, 0);
    } catch (error) {
      noteFlaw(error, value, name);
      throw error;
    }
  }

  function noteFlaw(error, value, name) {
    try {
      const found = flawOf(value, "", 0);
      if (found === null) return;
      flaw = name + (found.at === "" ? " is " : " has ") + found.what + place(found.at);
      failed = error;
    } catch {
      // What its own text says has to do.
    }
  }

  const place = (path) => (path === "" ? "" : " at " + (path.length > LONGEST_PATH ? path.slice(0, LONGEST_PATH) + "..." : path));
  const flawText = (error) => (error !== null && error === failed ? flaw : "");

  // The first value that `valueText` would not write.
  function flawOf(value, at, depth) {
    switch (typeof value) {
      case "number": return finite(value) ? null : { what: numberText(value), at };
      case "symbol": return { what: "a symbol", at };
      case "function": return { what: "a function", at };
      case "object": break;
      default: return null;
    }
    if (value === null) return null;
    if (depth >= MAX_DEPTH) return { what: "more than " + MAX_DEPTH + " levels (or itself)", at };
    for (const key of isArray(value) ? keys(value) : writtenKeys(value)) {
      const step = isArray(value) ? "[" + key + "]" : NAME.test(key) ? "." + key : "[" + quoted(key) + "]";
      const found = flawOf(value[key], at + step, depth + 1);
      if (found !== null) return found;
    }
    return null;
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

  return { stateText, keyText, valueText, writtenText, flawText, message, eventOf, writtenKeys };
})
