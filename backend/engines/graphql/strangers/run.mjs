// The graph as strangers see it: Apollo's own composition, a code generator, a
// standard client, and the subgraph protocol spoken by hand.
// Arguments: the folder of the schemas; then, for a running shop, the address of
// its graph and of its internal port.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { composeServices } from "@apollo/composition";
import { codegen } from "@graphql-codegen/core";
import * as typescript from "@graphql-codegen/typescript";
import * as operations from "@graphql-codegen/typescript-operations";
import { GraphQLClient, gql } from "graphql-request";
import {
  Kind, buildClientSchema, buildSchema, getIntrospectionQuery, lexicographicSortSchema, parse, printSchema, validate,
} from "graphql";

const [, , folder, graph, internal] = process.argv;
const MADE = new Set(["schema.graphql", "supergraph.graphql"]);
const text = (name) => readFileSync(join(folder, name), "utf8");
const subgraphs = readdirSync(folder)
  .filter((file) => file.endsWith(".graphql") && !MADE.has(file))
  .map((file) => ({ name: file.slice(0, -".graphql".length), sdl: text(file) }));
const schema = buildSchema(text("schema.graphql"));
const printed = (one) => printSchema(lexicographicSortSchema(one));
// Names and shapes, a definition a line; comments and the order of things are the
// printer's.
const bare = (one) => {
  const text = printed(one).replace(/"""[\s\S]*?"""\n?/g, "");
  return new Set(text.split(/\n\n+/).map((part) => part.replace(/\s+/g, " ").trim()));
};
const same = (one, other) => {
  const [left, right] = [bare(one), bare(other)];
  const missing = [...right].filter((part) => !left.has(part));
  const further = [...left].filter((part) => !right.has(part));
  assert.deepEqual({ missing, further }, { missing: [], further: [] });
};

let passed = 0;
async function holds(sentence, check) {
  await check();
  passed += 1;
  console.log(`ok  ${sentence}`);
}

await holds("Apollo's composition accepts the schemas and makes the same graph of them", () => {
  const composed = composeServices(
    subgraphs.map(({ name, sdl }) => ({ name, url: `http://${name}`, typeDefs: parse(sdl) })),
  );
  assert.deepEqual(composed.errors?.map((error) => error.message) ?? [], []);
  const theirs = composed.schema.toAPISchema().toGraphQLJSSchema();
  same(theirs, schema);
});

const documents = Object.values(JSON.parse(text("documents.json"))).map((source) => parse(source));
const sample = parse("query Sample { products(filter: { first: 3 }) { id title } }");

await holds("every document that ships with the shop is valid against the schema", () => {
  for (const document of [sample, ...documents]) assert.deepEqual(validate(schema, document), []);
});

await holds("a code generator makes types of schema and documents", async () => {
  const code = await codegen({
    filename: "graph.ts",
    schema: parse(text("schema.graphql")),
    documents: [sample, ...documents].map((document, at) => ({ location: `${at}.graphql`, document })),
    config: { scalars: { DateTime: "string", Decimal: "string" }, strictScalars: false },
    plugins: [{ typescript: {} }, { operations: {} }],
    pluginMap: { typescript, operations },
  });
  assert.match(code, /SampleQuery/);
});

if (graph) {
  const client = new GraphQLClient(graph);
  await holds("introspection tells the checked-in schema", async () => {
    const told = buildClientSchema(await client.request(getIntrospectionQuery()));
    same(told, schema);
  });
  await holds("a standard client asks with variables and is told what is wrong", async () => {
    const query = gql`query A($n: Int) { products(filter: { first: $n }) { id title } }`;
    const { products } = await client.request(query, { n: 2 });
    assert.ok(products.length <= 2);
    const refusal = await client.request("{ nothing }").then(() => null, (error) => error);
    assert.equal(refusal.response.status, 400);
    assert.match(refusal.response.errors[0].message, /nothing/);
  });
}

if (internal) {
  const ask = async (name, query, variables) => {
    const answer = await fetch(`${internal}/subgraphs/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
      body: JSON.stringify({ query, variables }),
    });
    return answer.json();
  };
  for (const { name, sdl } of subgraphs) {
    await holds(`${name} tells its schema and answers for every entity, known or not`, async () => {
      const told = await ask(name, "{ _service { sdl } }");
      assert.equal(told.data._service.sdl.replaceAll("\t", "  ").trim(), sdl.trim());
      for (const [type, keys] of entities(sdl)) {
        const key = Object.fromEntries(keys.map((field) => [field, "none-such"]));
        const query = "query E($r: [_Any!]!) { _entities(representations: $r) { __typename } }";
        const said = await ask(name, query, { r: [{ __typename: type, ...key }] });
        // Nothing there, or not for a stranger; never a failure of the inside.
        const codes = (said.errors ?? []).map((error) => error.extensions?.status ?? 0);
        assert.ok(codes.every((status) => status >= 400 && status < 500), JSON.stringify(said));
        if (!said.errors) assert.equal(said.data._entities.length, 1);
      }
    });
  }
}

// Types with their first resolvable key's plain fields.
function* entities(sdl) {
  for (const definition of parse(sdl).definitions) {
    const object = [Kind.OBJECT_TYPE_DEFINITION, Kind.OBJECT_TYPE_EXTENSION].includes(definition.kind);
    if (!object) continue;
    for (const directive of definition.directives ?? []) {
      if (directive.name.value !== "key") continue;
      const argument = (wanted) => directive.arguments.find((one) => one.name.value === wanted)?.value.value;
      if (argument("resolvable") === false) continue;
      yield [definition.name.value, argument("fields").split(/\s+/)];
      break;
    }
  }
}

console.log(`${passed} sentences hold`);
