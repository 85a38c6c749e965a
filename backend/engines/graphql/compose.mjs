// Composes the subgraphs' SDL into the supergraph that the router serves and
// the schema that clients see. Arguments: the folder of `<subgraph>.graphql`,
// the folder to write into. Errors go to standard error, one per line.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compositionHasErrors, composeServices } from "@theguild/federation-composition";
import { GraphQLError, lexicographicSortSchema, buildSchema, parse, print, printSchema } from "graphql";

const COMPOSED = new Set(["supergraph.graphql", "schema.graphql"]);
const [, , from, into] = process.argv;

const names = readdirSync(from)
  .filter((file) => file.endsWith(".graphql") && !COMPOSED.has(file))
  .map((file) => file.slice(0, -".graphql".length))
  .sort();
const problems = [];
const subgraphs = names.flatMap((name) => {
  const text = readFileSync(join(from, `${name}.graphql`), "utf8");
  try {
    // The router is told where each subgraph is when it starts.
    return [{ name, typeDefs: parse(text), url: `http://127.0.0.1:8090/subgraphs/${name}` }];
  } catch (error) {
    const at = error instanceof GraphQLError && error.locations?.[0];
    problems.push(`${name}.graphql${at ? `:${at.line}:${at.column}` : ""}: ${error.message}`);
    return [];
  }
});
if (problems.length === 0) {
  const composed = composeServices(subgraphs);
  if (compositionHasErrors(composed)) {
    for (const error of composed.errors) {
      const code = error.extensions?.code ?? "COMPOSITION";
      problems.push(`${code}: ${error.message}`);
    }
  } else {
    const schema = printSchema(lexicographicSortSchema(buildSchema(composed.publicSdl)));
    writeFileSync(join(into, "supergraph.graphql"), `${composed.supergraphSdl.trimEnd()}\n`);
    writeFileSync(join(into, "schema.graphql"), `${schema.trimEnd()}\n`);
  }
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
