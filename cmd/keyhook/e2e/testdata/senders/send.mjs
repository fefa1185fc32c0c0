// Signs with the libraries that senders use, and posts. It reads a list of
// requests from standard input and prints a list of answers.
import { sign as signGitHub } from "@octokit/webhooks-methods";
import { Webhook as Standard } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as Svix } from "svix";

const stripe = new Stripe("sk_test_none");

// What each library puts into the headers, at a time in seconds.
const sign = {
  standardwebhooks: ({ secret, id, body }, at) => ({
    "webhook-id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": new Standard(secret).sign(id, new Date(at * 1000), body),
  }),
  svix: ({ secret, id, body }, at) => ({
    "svix-id": id,
    "svix-timestamp": String(at),
    "svix-signature": new Svix(secret).sign(id, new Date(at * 1000), body),
  }),
  stripe: ({ secret, body }, at) => ({
    "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at }),
  }),
  octokit: async ({ secret, id, body }) => ({
    "X-GitHub-Delivery": id,
    "X-GitHub-Event": "push",
    "X-Hub-Signature-256": await signGitHub(secret, body),
  }),
};

let input = "";
for await (const chunk of process.stdin) input += chunk;
const answers = [];
for (const request of JSON.parse(input)) {
  const at = Math.floor(Date.now() / 1000) - (request.age ?? 0);
  const headers = await sign[request.library](request, at);
  const response = await fetch(request.url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: request.body + (request.altered ?? ""),
  });
  answers.push({ status: response.status, ...(await response.json()) });
}
console.log(JSON.stringify(answers));
