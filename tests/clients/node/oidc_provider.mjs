// An identity provider: oidc-provider from npm, with programs as clients, which ask for tokens of their own. Those of "brief" last a second.
//
// It prints the address as soon as it listens. Each line on standard input replaces its keys, as a rotation does.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { Provider } from "oidc-provider";

const { AUDIENCE, ROBOT_SECRET } = process.env;

function keys() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { keys: [{ ...privateKey.export({ format: "jwk" }), kid: randomBytes(8).toString("hex"), use: "sig" }] };
}

function robot(id, secret) {
  return {
    client_id: id,
    client_secret: secret,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  };
}

function provider(issuer) {
  return new Provider(issuer, {
    clients: ["robot", "stranger", "brief"].map((id) => robot(id, ROBOT_SECRET)),
    jwks: keys(),
    cookies: { keys: [randomBytes(16).toString("hex")] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        getResourceServerInfo: (context, resource) => ({
          scope: "use",
          audience: resource,
          accessTokenFormat: "jwt",
          accessTokenTTL: context.oidc.client.clientId === "brief" ? 1 : 300,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
}

let answer;
const server = createServer((request, response) => answer(request, response));
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  answer = provider(issuer).callback();
  console.log(issuer);
  createInterface({ input: process.stdin })
    .on("line", () => {
      answer = provider(issuer).callback();
      console.log("rotated");
    })
    .on("close", () => process.exit(0));
});
