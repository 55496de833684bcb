# lib_schema.py PORT SCHEMA: asks the HTTP server for each path that the schema (OpenAPI) has, and compares each answer with it: types,
# keys, words. Prints what differs; exit code 1 then. Lists that are empty prove nothing: they are named at the end.
import http.client
import json
import sys

port, document = int(sys.argv[1]), json.load(open(sys.argv[2]))
wrong, empty = [], []
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def resolve(schema):
    while "$ref" in schema:
        at = document
        for part in schema["$ref"].split("/")[1:]:
            at = at[part]
        schema = at
    return schema


def faults(value, schema, where):
    schema = resolve(schema)
    if "oneOf" in schema:
        fits = [s for s in schema["oneOf"] if not list(faults(value, s, where))]
        if len(fits) != 1:
            yield f"{where}: fits {len(fits)} of the alternatives: {json.dumps(value)[:100]}"
        return
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(is_type(value, t) for t in types):
        yield f"{where}: is {json.dumps(value)[:60]}, no {types}"
        return
    if "enum" in schema and value is not None and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if isinstance(value, list):
        if not value:
            empty.append(where)
        for i, v in enumerate(value):
            yield from faults(v, schema["items"], f"{where}[{i}]")
    if isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        for key in schema.get("required", []):
            if key not in value:
                yield f"{where}: lacks {key}"
        for key, v in value.items():
            if key in known:
                yield from faults(v, known[key], f"{where}.{key}")
            elif more is False:
                yield f"{where}: the schema has no {key}"
            elif more is not True:
                yield from faults(v, more, f"{where}.{key}")


c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
c.request("GET", "/v1/finished")
last = json.loads(c.getresponse().read())["tasks"][0]["task"]  # of which something is to be told
for path, ways in document["paths"].items():
    if "get" not in ways:  # it changes something, and says how it would have to be asked
        c.request("GET", path)
        r = c.getresponse()
        if (r.status, r.getheader("Allow")) != (405, "POST"):
            wrong.append(f"{path}: {r.status}, {r.getheader('Allow')}")
        wrong += faults(json.loads(r.read()), ways["post"]["responses"]["default"]["content"]["application/json"]["schema"], path)
        continue
    if "text/event-stream" in ways["get"]["responses"]["200"]["content"]:  # it has no end
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        stream.request("GET", path)
        r = stream.getresponse()
        if r.getheader("Content-Type") != "text/event-stream" or r.readline() != b"event: tick\n":
            wrong.append(f"{path}: it does not begin with a tick: {r.getheader('Content-Type')}")
        else:
            wrong += faults(json.loads(r.readline()[6:]), {"$ref": "#/components/schemas/Tick"}, path)
        stream.close()
        continue
    c.request("GET", path if path != "/v1/trace" else f"{path}?id={last}")
    r = c.getresponse()
    body, kind = r.read(), r.getheader("Content-Type").split(";")[0]
    answers = ways["get"]["responses"]
    answer = answers.get(str(r.status), answers["default"])
    if kind not in answer["content"]:
        wrong.append(f"{path}: is {kind}")
    elif kind == "application/json":
        wrong += faults(json.loads(body), answer["content"][kind]["schema"], path)
    for p in ways["get"].get("parameters", []):  # each is known, and refuses what is none
        c.request("GET", f"{path}?{p['name']}=")
        r = c.getresponse()
        refusal = json.loads(r.read())
        if r.status != 400:
            wrong.append(f"{path}?{p['name']}=: {r.status}")
        wrong += faults(refusal, answers["default"]["content"]["application/json"]["schema"], f"{path}?{p['name']}")
print("\n".join(wrong))
print("empty:", " ".join(sorted(set(empty))))
sys.exit(1 if wrong else 0)
