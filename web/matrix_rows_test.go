package web_test

import "time"

// contract is who may do what in a workspace: the promise, written down here by
// hand and not taken from the code that is to keep it.
var contract = map[string]string{
	"see":           "owner admin member auditor", // keys, deliveries, what is known of signals; exports of that
	"see payloads":  "owner admin member",         // and auditors, where the workspace says so
	"make keys":     "owner admin member",
	"change a key":  "owner admin member", // a member one's own alone
	"settings":      "owner admin",        // tokens too
	"by managers":   "owner admin",        // erase, mark suspect, import, hand-over links
	"members":       "owner admin",
	"audit trail":   "owner admin auditor",
	"review access": "owner admin auditor",
	"the workspace": "owner", // delete it, hand it over
}

// A row is what the matrix knows of a route.
type row struct {
	// may is a line of the contract; "anybody" or "signed in" is a route outside of
	// workspaces.
	may string
	// sends is the form of a POST or the query of a GET, such that it would do
	// something if it were let through: the first who may is to be answered by 200
	// or 303. {key}, {mark} and so on stand for ids, as in paths.
	sends string
	// own is the answer to those who may, where it is neither 200 nor 303.
	own int
}

// matrix has a row for each route. A new route needs one line here.
var matrix = map[string]row{
	"GET /static/":                {may: "anybody", own: 404}, // no file is named
	"POST /csp-report":            {may: "anybody", own: 204},
	"POST /preferences/theme":     {may: "anybody", sends: "theme=dark"},
	"GET /docs/send":              {may: "anybody"},
	"GET /docs/errors":            {may: "anybody"},
	"GET /docs/read":              {may: "anybody"},
	"GET /docs":                   {may: "anybody"},
	"GET /setup":                  {may: "anybody", own: 404}, // without a link
	"POST /setup":                 {may: "anybody", own: 404, sends: "name=A&email=a@example.com&workspace=A&password=copper-lantern-riverbank-42"},
	"GET /password":               {may: "anybody", own: 404},
	"POST /password":              {may: "anybody", own: 404, sends: "password=copper-lantern-riverbank-42"},
	"GET /handover/{link}":        {may: "anybody", own: 404}, // without its token
	"POST /handover/{link}":       {may: "anybody", own: 404, sends: "secret=" + pasted},
	"GET /handover/{link}/first":  {may: "anybody", own: 404},
	"POST /handover/{link}/saved": {may: "anybody", own: 404, sends: "saved=true"},
	"GET /sign-in":                {may: "anybody"},
	"POST /sign-in":               {may: "anybody", own: 401, sends: "email=&password="},
	"POST /sign-out":              {may: "anybody"},
	"GET /forgot-password":        {may: "anybody", own: 404}, // mail is not set up
	"POST /forgot-password":       {may: "anybody", own: 404, sends: "email=a@example.com"},
	"GET /sign-in/code":           {may: "anybody", own: 401}, // no password was given
	"POST /sign-in/code":          {may: "anybody", own: 401, sends: "code=123456"},
	"GET /invitation":             {may: "anybody", own: 404}, // without its token
	"POST /invitation":            {may: "anybody", own: 404, sends: "name=A&password=copper-lantern-riverbank-42"},
	"/":                           {may: "anybody", own: 404},
	"GET /{$}":                    {may: "signed in"},
	"GET /account/password":       {may: "signed in"},
	"POST /account/password":      {may: "signed in", own: 422, sends: "current=&password=x"},
	"GET /account":                {may: "signed in"},
	"POST /account/profile":       {may: "signed in", sends: "name=Planted"},
	"POST /account/preferences":   {may: "signed in", sends: "time_zone=Europe/Paris"},
	"POST /account/sessions/end":  {may: "signed in", sends: "session=others"},
	"GET /account/confirm":        {may: "signed in"},
	"POST /account/confirm":       {may: "signed in", own: 422, sends: "held=&password=x"},

	"GET /account/second-factor":          {may: "signed in"},
	"POST /account/second-factor":         {may: "signed in", own: 409}, // it is set up
	"POST /account/second-factor/confirm": {may: "signed in", own: 409, sends: "code=123456"},
	"POST /account/second-factor/codes":   {may: "signed in"},
	"POST /account/second-factor/remove":  {may: "signed in"},
	"GET /account/delete":                 {may: "signed in"},
	"POST /account/delete":                {may: "signed in", own: 422, sends: "email=somebody@example.com"},

	"GET /workspaces":               {may: "signed in"},
	"GET /workspaces/new":           {may: "signed in"},
	"POST /workspaces":              {may: "signed in", own: 422, sends: "name="},
	"GET /w/{workspace}/{$}":        {may: "see"},
	"GET /w/{workspace}/overview":   {may: "see"},
	"GET /w/{workspace}/keys":       {may: "see"},
	"GET /w/{workspace}/keys/new":   {may: "make keys"},
	"POST /w/{workspace}/keys":      {may: "make keys", sends: "name=Planted&scheme=generic&expires=never&form_nonce=planted-1"},
	"GET /w/{workspace}/usage":      {may: "see"},
	"GET /w/{workspace}/keys/{key}": {may: "see"},

	"GET /w/{workspace}/keys/import":           {may: "by managers"},
	"POST /w/{workspace}/keys/import":          {may: "by managers", sends: "do=one&name=Planted+too&api_key=wk_0123456789abcdef0123456789abcdef"},
	"POST /w/{workspace}/keys/export":          {may: "see", sends: "format=csv&key={key}"},
	"POST /w/{workspace}/batches":              {may: "change a key", sends: "do=deactivate&key={key}"},
	"GET /w/{workspace}/batches/{batch}":       {may: "change a key"},
	"POST /w/{workspace}/batches/{batch}":      {may: "change a key", sends: "confirm=1"},
	"POST /w/{workspace}/batches/{batch}/undo": {may: "change a key"},

	"GET /w/{workspace}/keys/{key}/deliveries":        {may: "see"},
	"GET /w/{workspace}/keys/{key}/first":             {may: "see"},
	"POST /w/{workspace}/keys/{key}/saved":            {may: "make keys", own: 403, sends: "saved=true"},          // shown to none of them
	"POST /w/{workspace}/keys/{key}/secret":           {may: "change a key", own: 409, sends: "secret=" + pasted}, // it has one
	"GET /w/{workspace}/keys/{key}/edit":              {may: "change a key"},
	"POST /w/{workspace}/keys/{key}/edit":             {may: "change a key", sends: "name=Renamed&expires=never&owner={owner}"},
	"GET /w/{workspace}/keys/{key}/deactivate":        {may: "change a key"},
	"GET /w/{workspace}/keys/{key}/deactivate/dialog": {may: "change a key"},
	"POST /w/{workspace}/keys/{key}/deactivate":       {may: "change a key"},
	"POST /w/{workspace}/keys/{key}/reactivate":       {may: "change a key"},
	"GET /w/{workspace}/keys/{key}/rotate":            {may: "change a key"},
	"GET /w/{workspace}/keys/{key}/rotate/dialog":     {may: "change a key"},
	"POST /w/{workspace}/keys/{key}/rotate":           {may: "change a key", sends: "what=both&overlap=24h&seen=2&form_nonce=planted-2"},
	"GET /w/{workspace}/keys/{key}/overlap":           {may: "see", sends: "what=both"},
	"GET /w/{workspace}/keys/{key}/overlap/end":       {may: "change a key", sends: "what=both"},
	"POST /w/{workspace}/keys/{key}/overlap/move":     {may: "change a key", own: 409, sends: "what=both&overlap=1h"},
	"POST /w/{workspace}/keys/{key}/overlap/undo":     {may: "change a key", own: 409, sends: "what=both"},
	"POST /w/{workspace}/keys/{key}/overlap/end":      {may: "change a key", sends: "what=both"},

	"GET /w/{workspace}/keys/{key}/from":               {may: "see", sends: "address=192.0.2.1"},
	"GET /w/{workspace}/keys/{key}/suspect":            {may: "by managers"},
	"POST /w/{workspace}/keys/{key}/suspect":           {may: "by managers", sends: "from=2026-01-01T00:00:00&until=2026-01-02T00:00:00&reason=planted"},
	"POST /w/{workspace}/keys/{key}/suspect/end":       {may: "by managers", sends: "mark={mark}"},
	"GET /w/{workspace}/keys/{key}/leak":               {may: "change a key"},
	"GET /w/{workspace}/keys/{key}/leak/dialog":        {may: "change a key"},
	"GET /w/{workspace}/keys/{key}/leaked":             {may: "see"},
	"POST /w/{workspace}/keys/{key}/leak":              {may: "change a key", sends: "seen=2"},
	"GET /w/{workspace}/keys/{key}/leaked/attempts":    {may: "see", own: 404}, // nothing was reported
	"POST /w/{workspace}/keys/{key}/leaked/renew":      {may: "change a key", own: 409, sends: "seen=2&form_nonce=planted-3"},
	"GET /w/{workspace}/keys/{key}/handover":           {may: "by managers"},
	"POST /w/{workspace}/keys/{key}/handover":          {may: "by managers", sends: "recipient=Planted&overlap=24h&form_nonce=planted-4"},
	"POST /w/{workspace}/keys/{key}/handover/withdraw": {may: "by managers", sends: "link={link}"},

	"GET /w/{workspace}/deliveries":                  {may: "see", sends: "key={key}"},
	"GET /w/{workspace}/deliveries/look-up":          {may: "see", sends: "id={request}"},
	"GET /w/{workspace}/deliveries/{request}":        {may: "see"},
	"GET /w/{workspace}/deliveries/{request}/drawer": {may: "see"},
	"GET /w/{workspace}/deliveries/{request}/body":   {may: "see payloads"},
	"GET /w/{workspace}/deliveries/export":           {may: "see", sends: "format=csv&key={key}"},
	"GET /w/{workspace}/deliveries/chart":            {may: "see", sends: "key={key}"},
	"GET /w/{workspace}/deliveries/tail":             {may: "see", sends: "key={key}"},

	"GET /w/{workspace}/signals":               {may: "see"},
	"GET /w/{workspace}/signals/{signal}":      {may: "see"},
	"GET /w/{workspace}/signals/{signal}/body": {may: "see payloads"},
	"GET /w/{workspace}/signals/erase":         {may: "by managers"},
	"GET /w/{workspace}/signals/erase/list":    {may: "by managers"},
	"POST /w/{workspace}/signals/erase":        {may: "by managers", sends: "ref={ref}&confirm={ref}&source={source}&reason=planted"},
	"GET /w/{workspace}/signals/retention":     {may: "settings"},
	"POST /w/{workspace}/signals/retention":    {may: "settings", sends: "keep=40&unread=400&payloads=60&deliveries=120"},

	"GET /w/{workspace}/tokens":                     {may: "settings"},
	"GET /w/{workspace}/tokens/new":                 {may: "settings"},
	"POST /w/{workspace}/tokens":                    {may: "settings", sends: "name=Planted&scopes=read-signals&expires=never&form_nonce=planted-5"},
	"GET /w/{workspace}/tokens/{token}":             {may: "settings"},
	"POST /w/{workspace}/tokens/{token}/saved":      {may: "settings", own: 403, sends: "saved=true"}, // shown to none of them
	"GET /w/{workspace}/tokens/{token}/deactivate":  {may: "settings"},
	"POST /w/{workspace}/tokens/{token}/deactivate": {may: "settings"},
	"POST /w/{workspace}/tokens/{token}/reactivate": {may: "settings"},

	"GET /w/{workspace}/audit":              {may: "audit trail"},
	"GET /w/{workspace}/audit/verification": {may: "audit trail"},
	"POST /w/{workspace}/audit/verify":      {may: "audit trail"},
	"POST /w/{workspace}/audit/outside":     {may: "audit trail", sends: "entry=1&hash={hash}"},
	"POST /w/{workspace}/audit/checkpoint":  {may: "audit trail"},
	"POST /w/{workspace}/audit/export":      {may: "audit trail", sends: "format=csv"},

	"GET /w/{workspace}/keys/{key}/passport":      {may: "see"},
	"GET /w/{workspace}/keys/{key}/passport.json": {may: "see"},
	"GET /w/{workspace}/reviews":                  {may: "see"},
	"POST /w/{workspace}/reviews":                 {may: "review access", sends: "id=01900000-0000-7000-8000-000000000001&covers=" + time.Now().UTC().Format(time.DateOnly)},
	"GET /w/{workspace}/reviews/{review}":         {may: "see"},
	"GET /w/{workspace}/reviews/{review}/file":    {may: "review access"},
	"GET /w/{workspace}/reviews/{review}/answer":  {may: "change a key", sends: "key={key}"},
	"POST /w/{workspace}/reviews/{review}/answer": {may: "change a key", sends: "answer=keep&key={key}"},

	"GET /w/{workspace}/members":                            {may: "see"},
	"POST /w/{workspace}/members/{member}/role":             {may: "members", sends: "role=auditor"},
	"GET /w/{workspace}/members/{member}/remove":            {may: "members"},
	"POST /w/{workspace}/members/{member}/remove":           {may: "members"},
	"POST /w/{workspace}/members/{user}/sessions/end":       {may: "members"},
	"GET /w/{workspace}/members/leave":                      {may: "see"},
	"POST /w/{workspace}/members/leave":                     {may: "see"},
	"GET /w/{workspace}/members/handover":                   {may: "the workspace"},
	"POST /w/{workspace}/members/handover":                  {may: "the workspace", sends: "to={member}&confirm=Home"},
	"GET /w/{workspace}/invitations/new":                    {may: "members"},
	"POST /w/{workspace}/invitations":                       {may: "members", sends: "emails=planted@example.com&role=member"},
	"POST /w/{workspace}/invitations/{invitation}/resend":   {may: "members"},
	"POST /w/{workspace}/invitations/{invitation}/withdraw": {may: "members"},

	"GET /w/{workspace}/settings":         {may: "settings"},
	"POST /w/{workspace}/settings":        {may: "settings", sends: "name=Renamed"},
	"GET /w/{workspace}/sign-in-rule":     {may: "settings"},
	"POST /w/{workspace}/sign-in-rule":    {may: "settings", sends: "require=true"},
	"GET /w/{workspace}/settings/delete":  {may: "the workspace"},
	"POST /w/{workspace}/settings/delete": {may: "the workspace", sends: "confirm={name}"},
}

const pasted = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// looksUp is the route that tells the time and status of any request; TestElsewhere
// says of whom and how little.
const looksUp = "GET /w/{workspace}/deliveries/{request}"
