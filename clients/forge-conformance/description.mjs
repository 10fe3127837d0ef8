// GitHub's own OpenAPI description, made into validators for JSON Schema: what does a route answer with which status?
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import Ajv from "ajv";
import addFormats from "ajv-formats";

const require = createRequire(import.meta.url);
const ROOT = "github";

/** OpenAPI 3.0 says `nullable`, JSON Schema says "or null"; references point into this one document. */
function toJsonSchema(node) {
  if (Array.isArray(node)) return node.map(toJsonSchema);
  if (node === null || typeof node !== "object") return node;
  const out = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === "nullable" || key === "example" || key === "examples" || key === "discriminator") continue;
    out[key] = key === "$ref" ? `${ROOT}${value}` : toJsonSchema(value);
  }
  return node.nullable === true ? { anyOf: [{ type: "null" }, out] } : out;
}

/** `/repos/{owner}/{repo}` → `/repos/{}/{}`, since client and description name parameters differently. */
const shape = (route) => route.replace(/\{[^}]*\}/g, "{}");

export class Description {
  static async load() {
    const file = require.resolve("@octokit/openapi/generated/api.github.com.json");
    return new Description(JSON.parse(await readFile(file, "utf8")));
  }

  constructor(document) {
    this.document = document;
    this.routes = new Map(Object.keys(document.paths).map((route) => [shape(route), route]));
    this.ajv = new Ajv({ strict: false, allErrors: true, logger: false });
    addFormats(this.ajv);
    this.ajv.addSchema({ components: { schemas: toJsonSchema(document.components.schemas) } }, ROOT);
    this.validators = new Map();
  }

  /** The route that a template or a concrete address (of a next page) belongs to; of several the one with most literal words. */
  find(method, address) {
    const known = this.routes.get(shape(address));
    if (known) return known;
    const words = new URL(address).pathname.replace(/^\/api\/v3/, "").split("/");
    const fits = (route) => {
      const parts = route.split("/");
      return parts.length === words.length && parts.every((part, i) => part.startsWith("{") || part === words[i]);
    };
    const literal = (route) => route.split("/").filter((part) => !part.startsWith("{")).length;
    const found = [...this.routes.values()].filter((route) => fits(route) && this.document.paths[route][method.toLowerCase()]);
    return found.sort((a, b) => literal(b) - literal(a))[0];
  }

  /** The faults of an answer, as lines of text; none when it is as GitHub's would be. */
  faults(method, address, status, body) {
    const route = this.find(method, address);
    const operation = route && this.document.paths[route][method.toLowerCase()];
    if (!operation) return [`GitHub has no ${method} ${address}`];
    // A bad token is refused alike everywhere, though few routes list it.
    let response = operation.responses[status] ?? (status === 401 ? { $ref: "#/components/responses/requires_authentication" } : undefined);
    if (!response) return [`GitHub does not answer ${method} ${route} with ${status} (but ${Object.keys(operation.responses).join(", ")})`];
    if (response.$ref) response = this.document.components.responses[response.$ref.split("/").pop()];
    let schema = response.content?.["application/json"]?.schema;
    // Some refusals are listed without their body; GitHub sends its usual one.
    if (!schema && status >= 400) schema = { $ref: "#/components/schemas/basic-error" };
    if (!schema) return body === undefined || body === "" ? [] : [`${status} has a body, GitHub's has none`];
    const key = `${method} ${route} ${status}`;
    if (!this.validators.has(key)) this.validators.set(key, this.ajv.compile(toJsonSchema(schema)));
    const validate = this.validators.get(key);
    if (validate(body)) return [];
    return validate.errors.map((error) => `${error.instancePath || "/"} ${error.message} ${JSON.stringify(error.params)}`);
  }
}
