// The TypeScript SDK of protocol 2026-07-28, in both its eras, and as it finds out which one a server speaks.

import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/client/validators/ajv";

import { attempt, equal, report, server } from "./checks.mjs";
import { everything } from "./typescript.mjs";

const MODERN = "2026-07-28";

function connecting(mode, era) {
  return async (settings, person) => {
    const client = new Client(
      { name: "typescript-new", version: "1.0.0" },
      { capabilities: person === undefined ? {} : { elicitation: {} }, versionNegotiation: { mode } },
    );
    if (person) client.setRequestHandler("elicitation/create", ({ params }) => person(params.message));
    client.unexpected = [];
    client.onerror = (error) => client.unexpected.push(error.message);
    const listeners = [];
    client.setNotificationHandler("notifications/resources/updated", ({ params }) =>
      listeners.forEach((listener) => listener(params.uri)),
    );
    client.call = (name, values, options) => client.callTool({ name, arguments: values }, options);
    client.watch = async (uri, onUpdate) => {
      if (onUpdate) listeners.push(onUpdate);
      if (client.getProtocolEra() === "modern") {
        const subscription = await client.listen({ resourceSubscriptions: [uri] });
        equal(`new, ${era}: what is listened to`, subscription.honoredFilter.resourceSubscriptions, [uri]);
        return () => subscription.close();
      }
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    };
    await client.connect(new StdioClientTransport(server(settings)));
    equal(`new, ${era}: the era`, client.getProtocolEra(), era);
    return client;
  };
}

await attempt("new: finding out the era", async () => {
  const client = await connecting("auto", "modern")({});
  equal("new: the version that was found out", client.getNegotiatedProtocolVersion(), MODERN);
  await client.close();
});
await Promise.all([
  everything({ name: "new, modern", connect: connecting({ pin: MODERN }, "modern"), AjvJsonSchemaValidator }),
  everything({ name: "new, legacy", connect: connecting("legacy", "legacy"), AjvJsonSchemaValidator }),
]);
report();
