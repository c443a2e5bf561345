// What both TypeScript SDKs must manage. Each brings its `connect(settings, person)`, which returns a client with
// `call(name, arguments, options)`, `watch(uri, onUpdate)` and `unexpected`, the errors that the client met by itself.

import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

import { attempt, check, equal, filled, freePort, plan, read, sleep, until } from "./checks.mjs";

const BUDGET = {
  PIV_SPEND_MODE: "budget",
  PIV_AUTO_APPROVE_MAX: "1000",
  PIV_DAILY_BUDGET: "1000",
  PIV_CONFIRM_DESTRUCTIVE: "false",
};

const approve = async () => {
  await read();
  return { action: "accept", content: { approve: true } };
};

export async function everything(sdk) {
  const client = await sdk.connect({ PIV_WEBHOOK_PORT: String(await freePort()) });
  for (const part of [everyTool, reading, waiting, updates]) {
    await attempt(`${sdk.name}: ${part.name}`, () => part(sdk, client));
  }
  await ended(sdk, client);
  await attempt(`${sdk.name}: approval`, () => approval(sdk));
}

async function everyTool(sdk, client) {
  const { tools } = await client.listTools();
  equal(`${sdk.name}: the tools`, tools.map((tool) => tool.name), plan.tools.map((tool) => tool.name));
  const validators = new Map();
  for (const tool of tools) {
    const sent = plan.tools.find((item) => item.name === tool.name);
    for (const part of Object.keys(sent)) equal(`${sdk.name}: ${part} of ${tool.name}`, tool[part], sent[part]);
    await attempt(`${sdk.name}: the schemas of ${tool.name}`, () => {
      for (const schema of [tool.inputSchema, tool.outputSchema]) strictly(schema);
      const provider = new sdk.AjvJsonSchemaValidator();
      validators.set(tool.name, {
        input: provider.getValidator(tool.inputSchema),
        output: provider.getValidator(tool.outputSchema),
      });
      check(`${sdk.name}: schemas compile`, true);
    });
  }
  await Promise.all(plan.calls.map((part) => everyCall(sdk, part, validators)));
}

async function everyCall(sdk, calls, validators) {
  const client = await sdk.connect(BUDGET, approve);
  await client.listTools(); // so that the SDK holds each answer against its schema
  const answers = {};
  for (const { name, arguments: given } of calls) {
    await attempt(`${sdk.name}: ${name}`, async () => {
      const values = filled(given, answers);
      const input = validators.get(name).input(values);
      check(`${sdk.name}: the arguments of ${name}`, input.valid, input.errorMessage);
      const result = await client.call(name, values);
      if (result.isError) throw new Error(result.content[0].text);
      equal(`${sdk.name}: the text of ${name}`, JSON.parse(result.content[0].text), result.structuredContent);
      const output = validators.get(name).output(result.structuredContent);
      check(`${sdk.name}: the answer of ${name}`, output.valid, output.errorMessage);
      answers[name] = result.structuredContent;
    });
  }
  await ended(sdk, client);
}

// Ajv's strict mode refuses keywords and formats that it does not know, and what its authors hold for mistakes.
function strictly(schema) {
  for (const Engine of [Ajv.default ?? Ajv, Ajv2020.default ?? Ajv2020]) {
    const ajv = new Engine({ strict: true, allErrors: true });
    (addFormats.default ?? addFormats)(ajv);
    ajv.compile(schema);
  }
}

async function reading(sdk, client) {
  check(`${sdk.name}: instructions`, client.getInstructions()?.includes("piv.day"), client.getInstructions());
  equal(`${sdk.name}: the server's name`, client.getServerVersion()?.name, "piv-mcp");
  const { resources } = await client.listResources();
  const { resourceTemplates } = await client.listResourceTemplates();
  const listed = [...resources.map((item) => item.uri), ...resourceTemplates.map((item) => item.uriTemplate)];
  equal(`${sdk.name}: the resources`, listed.toSorted(), Object.keys(plan.uris).toSorted());
  for (const uri of Object.values(plan.uris)) {
    await attempt(`${sdk.name}: ${uri}`, async () => {
      const { contents } = await client.readResource({ uri });
      equal(`${sdk.name}: ${uri} is one content`, contents.length, 1);
      equal(`${sdk.name}: the URI of ${uri}`, contents[0].uri, uri);
      check(`${sdk.name}: ${uri} is an object`, typeof JSON.parse(contents[0].text) === "object", contents[0].text);
    });
  }
  for (const { uriTemplate } of resourceTemplates) {
    await attempt(`${sdk.name}: completing ${uriTemplate}`, async () => {
      const name = /\{(\w+)\}/.exec(uriTemplate)[1];
      const id = plan.uris[uriTemplate].slice(uriTemplate.indexOf("{")).split("/")[0];
      const ref = { type: "ref/resource", uri: uriTemplate };
      const { completion } = await client.complete({ ref, argument: { name, value: id.slice(0, 2) } });
      check(`${sdk.name}: completing ${uriTemplate}`, completion.values.includes(id), completion);
    });
  }
  const { prompts } = await client.listPrompts();
  equal(`${sdk.name}: the prompts`, prompts.map((item) => item.name).toSorted(), Object.keys(plan.prompts).toSorted());
  for (const prompt of prompts) {
    await attempt(`${sdk.name}: the prompt ${prompt.name}`, async () => {
      const got = await client.getPrompt({ name: prompt.name, arguments: plan.prompts[prompt.name] });
      check(`${sdk.name}: the prompt ${prompt.name}`, got.messages[0].content.text.length > 0, got);
      for (const { name } of prompt.arguments ?? []) {
        const ref = { type: "ref/prompt", name: prompt.name };
        const { completion } = await client.complete({ ref, argument: { name, value: "" } });
        check(`${sdk.name}: completing ${name} of ${prompt.name}`, Array.isArray(completion.values), completion);
        if (name === "number") check(`${sdk.name}: numbers complete`, completion.values.length > 0, completion);
      }
    });
  }
}

async function waiting(sdk, client) {
  const told = [];
  const seconds = 2 * plan.progress_seconds + 1; // told at every look for a code, not more often than that
  const patient = { onprogress: (progress) => told.push(progress) };
  const waited = await client.call("wait_for_code", { number: plan.number, timeout_seconds: seconds }, patient);
  equal(`${sdk.name}: a wait without a code`, waited.structuredContent.status, "timeout");
  check(`${sdk.name}: progress of a wait`, told.length >= 1, told);
  for (const { progress, total, message } of told) {
    check(`${sdk.name}: progress says how far`, progress > 0 && progress <= total && message.length > 0, told);
  }

  const began = Date.now();
  const stop = new AbortController();
  const call = client.call("wait_for_code", { number: plan.number, timeout_seconds: 60 }, { signal: stop.signal });
  const cancelled = call.then(() => "answered", () => "cancelled");
  await sleep(1);
  stop.abort("the person has changed their mind");
  equal(`${sdk.name}: a call that is cancelled`, await cancelled, "cancelled");
  const after = await client.call("get_account", {});
  check(`${sdk.name}: a call after a cancelled one`, !after.isError, after);
  check(`${sdk.name}: a cancelled wait holds nothing up`, Date.now() - began < 30_000, Date.now() - began);
}

async function updates(sdk, client) {
  const [inbox, sms] = ["piv://inbox", plan.uris["piv://numbers/{piv_num_id}/sms"]];
  let updated = [];
  const unwatch = [await client.watch(inbox, (uri) => updated.push(uri)), await client.watch(sms)];
  await client.call("simulate_incoming_sms", { number: plan.number, text: "Your code is 482913" });
  await until(() => updated.includes(inbox) && updated.includes(sms), `${sdk.name}: updates of the inbox and a number`);
  const { contents } = await client.readResource({ uri: sms });
  check(`${sdk.name}: the new SMS is read`, contents[0].text.includes("482913"), contents);
  await unwatch[1]();
  updated = [];
  await client.call("simulate_incoming_sms", { number: plan.number, text: "Your code is 731905" });
  await until(() => updated.includes(inbox), `${sdk.name}: an update of the inbox alone`);
  await client.call("get_account", {}); // what is sent with that update has arrived before this answer
  check(`${sdk.name}: no update after unsubscribing`, !updated.includes(sms), updated);
  await unwatch[0]();
}

async function approval(sdk) {
  const cases = [
    ["accept", true, { action: "accept", content: { approve: true } }, "charged", "-4.00"],
    ["accept without a tick", true, { action: "accept", content: { approve: false } }, "declined", "0.00"],
    ["decline", true, { action: "decline" }, "declined", "0.00"],
    ["cancel", true, { action: "cancel" }, "cancelled", "0.00"],
    ["an instant yes", false, { action: "accept", content: { approve: true } }, "approval_required", "0.00"],
  ];
  await Promise.all([
    ...cases.map((item) => attempt(`${sdk.name}: ${item[0]}`, () => answered(sdk, ...item))),
    attempt(`${sdk.name}: a call that is cancelled meanwhile`, () => withdrawn(sdk)),
  ]);
}

async function answered(sdk, what, reads, answer, status, difference) {
  const questions = [];
  const client = await sdk.connect({ PIV_CONFIRM_WAIT: "5" }, async (question) => {
    questions.push(question);
    if (reads) await read();
    return answer;
  });
  await client.listTools();
  const balance = async () => Number((await client.call("get_account", {})).structuredContent.balance);
  const before = await balance();
  const bought = await client.call(plan.purchase.name, plan.purchase.arguments);
  equal(`${sdk.name}: ${what}: the outcome`, bought.structuredContent?.status, status);
  equal(`${sdk.name}: ${what}: the account`, (await balance() - before).toFixed(2), difference);
  const spending = (await client.call("list_spending", {})).structuredContent;
  equal(`${sdk.name}: ${what}: the journal`, spending.charged, (-Number(difference)).toFixed(2));
  equal(`${sdk.name}: ${what}: asked once`, questions.length, 1);
  check(`${sdk.name}: ${what}: the question names the price`, questions[0].includes("4.00"), questions);
  await ended(sdk, client);
}

async function withdrawn(sdk) {
  const asked = Promise.withResolvers();
  const client = await sdk.connect({}, async () => {
    asked.resolve();
    return approve();
  });
  await client.listTools();
  const stop = new AbortController();
  const call = client.call(plan.purchase.name, plan.purchase.arguments, { signal: stop.signal });
  const cancelled = call.then(() => "answered", () => "cancelled");
  await asked.promise;
  stop.abort("the person has changed their mind");
  equal(`${sdk.name}: a purchase that is cancelled while the person reads`, await cancelled, "cancelled");
  await read();
  await read(); // the yes would have come long ago
  const spending = (await client.call("list_spending", {})).structuredContent;
  equal(`${sdk.name}: what a cancelled purchase has cost`, spending.charged, "0.00");
  const account = (await client.call("get_account", {})).structuredContent;
  equal(`${sdk.name}: the account after a cancelled purchase`, account.balance, "150.50");
  await ended(sdk, client);
}

// A client that closes, and that met nothing it did not understand.
async function ended(sdk, client) {
  await client.close();
  equal(`${sdk.name}: errors that the client met by itself`, client.unexpected, []);
}
