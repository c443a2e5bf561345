// The TypeScript SDK that most clients are built on: the handshake era.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ElicitRequestSchema, ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/sdk/validation/ajv";

import { report, server } from "./checks.mjs";
import { everything } from "./typescript.mjs";

async function connect(settings, person) {
  const client = new Client(
    { name: "typescript-old", version: "1.0.0" },
    { capabilities: person === undefined ? {} : { elicitation: {} } },
  );
  if (person) client.setRequestHandler(ElicitRequestSchema, ({ params }) => person(params.message));
  client.unexpected = [];
  client.onerror = (error) => client.unexpected.push(error.message);
  const listeners = [];
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) =>
    listeners.forEach((listener) => listener(params.uri)),
  );
  client.call = (name, values, options) => client.callTool({ name, arguments: values }, undefined, options);
  client.watch = async (uri, onUpdate) => {
    if (onUpdate) listeners.push(onUpdate);
    await client.subscribeResource({ uri });
    return () => client.unsubscribeResource({ uri });
  };
  await client.connect(new StdioClientTransport(server(settings)));
  return client;
}

await everything({ name: "old", connect, AjvJsonSchemaValidator });
report();
