// Apollo's gateway over the shop's subgraphs, for `./bv bench graphql`. Arguments:
// the address of the internal port, the port to serve on; the supergraph comes on
// standard input.
import { text } from "node:stream/consumers";
import { ApolloGateway, RemoteGraphQLDataSource } from "@apollo/gateway";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";

const [, , internal, port] = process.argv;

class Subgraph extends RemoteGraphQLDataSource {
  willSendRequest({ request, context }) {
    if (context.authorization) request.http.headers.set("authorization", context.authorization);
  }
}

const gateway = new ApolloGateway({
  supergraphSdl: await text(process.stdin),
  buildService: ({ name }) => new Subgraph({ url: `${internal}/subgraphs/${name}` }),
});
await startStandaloneServer(new ApolloServer({ gateway, introspection: false }), {
  listen: { host: "127.0.0.1", port: Number(port) },
  context: async ({ req }) => ({ authorization: req.headers.authorization }),
});
