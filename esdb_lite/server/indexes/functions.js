// Filter and selector of an index, for any ECMAScript 2020 engine.
//
// Owns: the record that they see, and what is kept of what they give. Must not know: where records come from.
// Evaluates to a function that gives the functions that the host calls, by name: read, load, evaluate.
(function () {
  "use strict";
  const { stringify, parse } = JSON;
  const { trunc } = Math;
  const { now } = Date;
  const text = String;
  const LONG = 100;
  const evaluate = globalThis.eval;
  const skip = Object.freeze({});
  Object.defineProperty(globalThis, "skip", { value: skip });
  let filter = null;
  let selector = null;
  let type = "";
  let told = false;

  function lazily(record, name, text) {
    let value;
    let known = text === null;
    if (known) value = null;
    Object.defineProperty(record, name, {
      enumerable: true,
      get() {
        if (!known) {
          value = parse(text);
          known = true;
        }
        return value;
      },
    });
  }

  function seen([id, time, stream, revision, position, name, format, schema, data, properties]) {
    const record = {
      id,
      timestamp: new Date(time),
      position: { stream, streamRevision: revision, logPosition: position },
      schema: { name, format, id: schema },
      sequence: position,
      redacted: false,
    };
    lazily(record, "value", data);
    lazily(record, "properties", properties);
    return record;
  }

  function kept(value) {
    if (type === "STRING") return typeof value === "string" ? value : null;
    if (typeof value !== "number" || value !== value) return null;
    if (type === "DOUBLE") return String(value);
    const limit = type === "INT_32" ? 2 ** 31 : 2 ** 63;
    const whole = trunc(value);
    return whole >= -limit && whole < limit ? BigInt(whole).toString() : null;
  }

  function result(record) {
    let called = "filter";
    try {
      if (filter !== null && filter(record) !== true) return null;
      called = "selector";
      return selector === null ? "" : kept(selector(record));
    } catch (error) {
      return told ? null : fault(called, error);
    }
  }

  // The first one is told to the host, in the place of what is kept.
  function fault(called, error) {
    told = true;
    let said = "an error that has no text";
    try {
      said = text(error);
    } catch {}
    return { fault: `${called}: ${said}` };
  }

  const functions = {
    read(text) {
      const found = evaluate(text);
      return typeof found === "function" ? found.toString() : "";
    },
    load(filterText, selectorText, fieldType) {
      filter = filterText === "" ? null : evaluate(filterText);
      selector = selectorText === "" ? null : evaluate(selectorText);
      type = fieldType;
      return "";
    },
    evaluate(records) {
      // As many as can be done in time: an engine may be late in stopping what takes too long.
      const found = [];
      const until = now() + LONG;
      for (const record of parse(records)) {
        found.push(result(seen(record)));
        if (now() > until) break;
      }
      return stringify(found);
    },
    with_json(name, values) {
      return functions[name](...parse(values));
    },
  };
  return (name) => functions[name];
})();
