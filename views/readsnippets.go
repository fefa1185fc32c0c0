package views

// The snippets for programs that read. They keep their cursor in a file beside
// them, written once a page was dealt with, and go on from it.

const readCurlSnippet = `curl -sS "$KEYHOOK_BASE/api/v1/signals?limit=10&wait=5" \
  -H "Authorization: Bearer $KEYHOOK_TOKEN"
`

const readNodeSnippet = `// read.mjs; run it with: node --env-file=.env read.mjs
import { readFile, rename, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const headers = { Authorization: "Bearer " + process.env.KEYHOOK_TOKEN };
let cursor = await readFile("cursor", "utf8").catch(() => "");

for (;;) {
  const url = new URL("/api/v1/signals?limit=1000&wait=25", process.env.KEYHOOK_BASE);
  if (cursor) url.searchParams.set("after", cursor);
  let status = 0, answer;
  try {
    const res = await fetch(url, { headers, signal: AbortSignal.timeout(60_000) });
    answer = await res.json();
    status = res.status;
  } catch {} // cut off: the same page comes again
  if (status === 200) {
    for (const signal of answer.signals) {
      console.log(signal.id, signal.eventType, JSON.stringify(signal.body)); // your work
    }
    if (answer.cursor !== cursor) {
      cursor = answer.cursor;
      await writeFile("cursor.new", cursor);
      await rename("cursor.new", "cursor");
    }
  } else if (status === 0 || status === 429 || status >= 500) {
    await sleep(1000 + Math.random() * 4000);
  } else {
    console.error(status, answer.code, answer.detail, answer.oldestCursor ?? "");
    process.exit(1); // 410: signals are gone; see CURSOR_EXPIRED
  }
}
`

const readPythonSnippet = `# read.py; run it with: set -a; . ./.env; set +a; python3 read.py
import http.client, json, os, random, sys, time, urllib.error, urllib.parse, urllib.request

headers = {"Authorization": "Bearer " + os.environ["KEYHOOK_TOKEN"]}
try:
    cursor = open("cursor").read()
except FileNotFoundError:
    cursor = ""

while True:
    query = {"limit": 1000, "wait": 25, **({"after": cursor} if cursor else {})}
    url = os.environ["KEYHOOK_BASE"] + "/api/v1/signals?" + urllib.parse.urlencode(query)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as res:
            page = json.load(res)
    except urllib.error.HTTPError as err:
        if err.code == 429 or err.code >= 500:
            time.sleep(1 + random.random() * 4)
            continue
        sys.exit(err.read().decode())  # 410: signals are gone; see CURSOR_EXPIRED
    except (OSError, ValueError, http.client.HTTPException):  # cut off: the same page comes again
        time.sleep(1 + random.random() * 4)
        continue
    for signal in page["signals"]:
        print(signal["id"], signal["eventType"], json.dumps(signal["body"]), flush=True)  # your work
    if page["cursor"] != cursor:
        cursor = page["cursor"]
        with open("cursor.new", "w") as file:
            file.write(cursor)
        os.replace("cursor.new", "cursor")
`

const readGoSnippet = `keyhook := client.New(os.Getenv("KEYHOOK_BASE"), os.Getenv("KEYHOOK_TOKEN"))
err := keyhook.Follow(ctx, cursor, func(ctx context.Context, page client.Page) error {
	for _, signal := range page.Signals {
		fmt.Println(signal.ID, signal.EventType, string(signal.Body)) // your work
	}
	return store(page.Cursor) // in the transaction that holds your work, if you can
})
`

// readErrors are what a program that reads can meet.
var readErrors = []struct{ id, code, status, title, text string }{
	{"invalid-cursor", "INVALID_CURSOR", "400", "The cursor cannot be used", "It is not of this workspace, it was changed, or the database went back to an earlier state since. Use the cursor as it was given; if the database was restored, start again without one."},
	{"validation-error", "VALIDATION_ERROR", "400", "A parameter is wrong", "The detail names it: limit is 1 to 1000, wait 0 to 30 seconds."},
	{"unauthorized", "UNAUTHORIZED", "401", "The token does not hold", "It is missing, unknown, inactive or expired; all of these have one answer. It goes in the header Authorization: Bearer kht_…"},
	{"forbidden", "FORBIDDEN", "403", "The token does not allow that", "It lacks the scope read-signals."},
	{"not-found", "NOT_FOUND", "404", "There is nothing here", "There is no such signal in the token’s workspace, or no such address."},
	{"method-not-allowed", "METHOD_NOT_ALLOWED", "405", "The method is not GET", "Signals are read with GET."},
	{"cursor-expired", "CURSOR_EXPIRED", "410", "The cursor is older than what is kept", "Signals behind it are gone: nobody came for them in the time that the workspace keeps unread signals. Go on from oldestCursor, behind which everything is kept, and find out what you missed elsewhere."},
	{"rate-limited", "RATE_LIMITED", "429", "The token has too much open", "It has as many streams or waiting requests open as it may. Close some, or make another token."},
	{"unavailable", "UNAVAILABLE", "503", "Try again", "Wait as long as Retry-After says and ask again with the same cursor."},
}
