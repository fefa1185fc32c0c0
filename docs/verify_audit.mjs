// Verifies what `keyhook export audit` wrote, without Keyhook:
//   node verify_audit.mjs trail.ndjson [checkpoints.ndjson [public-keys.pem]]
// It is written from docs/audit-format.md alone, and needs nothing but Node 18.
import { createHash, createPublicKey, verify } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'

const [trail, checkpoints, publicKey] = process.argv.slice(2)
const fields = ['chain', 'seq', 'at', 'actor_kind', 'actor_id', 'actor_label', 'action', 'target_kind', 'target_id',
  'target_label', 'address', 'request_id', 'before', 'after']

function encode(...values) {
  return Buffer.concat(values.flatMap(value => {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(String(value))
    const length = Buffer.alloc(8)
    length.writeBigUInt64BE(BigInt(bytes.length))
    return [length, bytes]
  }))
}
const bytes = text => Buffer.from(text, 'base64')
const sha256 = data => createHash('sha256').update(data).digest()

// The one writing of an object that has these members, all texts but for the number seq.
function written(object, members) {
  if (!members.every(name => typeof object[name] === (name === 'seq' ? 'number' : 'string'))) return
  return JSON.stringify(object, members).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
}
// base64 can be written in more than one way, too.
const isHash = text => bytes(text).length === 32 && bytes(text).toString('base64') === text

// The lines of a file, byte for byte: whatever stands before a line feed is part of its line.
async function* linesOf(file) {
  let rest = ''
  for await (const part of createReadStream(file, 'latin1')) {
    const lines = (rest + part).split('\n')
    rest = lines.pop()
    for (const line of lines) yield Buffer.from(line, 'latin1')
  }
  if (rest) yield Buffer.from(rest, 'latin1')
}

// What was signed: the hash of each place and when it was, by chain.
const signed = new Map()
let points = 0, newest
if (checkpoints) {
  const trusted = publicKey && keysIn(await readFile(publicKey, 'utf8'))
  const seen = new Set()
  for (const line of (await readFile(checkpoints, 'utf8')).split('\n').filter(Boolean)) {
    const c = JSON.parse(line)
    const plain = JSON.stringify(c) === line.trim() && [c, ...c.heads].every(part => Number.isSafeInteger(part.number ?? part.seq))
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), bytes(c.public_key)])
    const data = encode('keyhook/checkpoint/v1', c.number, c.at, c.key_id, bytes(c.public_key),
      ...c.heads.flatMap(head => [head.chain, head.seq, bytes(head.hash)]))
    const keyID = sha256(bytes(c.public_key)).toString('hex').slice(0, 16)
    if (!plain || keyID !== c.key_id || trusted && !trusted.some(key => key.equals(der)) ||
        !verify(null, data, createPublicKey({ key: der, type: 'spki', format: 'der' }), bytes(c.signature)))
      end(`checkpoint ${c.number} can't be believed`, 1)
    if (seen.has(c.signature)) continue
    seen.add(c.signature)
    points++
    if (!(newest?.number >= c.number)) newest = c
    for (const head of c.heads) {
      if (!signed.has(head.chain)) signed.set(head.chain, { marks: new Map(), points: 0, last: '', keys: new Set() })
      const said = signed.get(head.chain)
      const other = said.marks.get(head.seq) ?? head.hash
      said.marks.set(head.seq, other === head.hash ? head.hash : 'two')
      said.keys.add(keyID)
      said.points++
      if (c.at > said.last) said.last = c.at
    }
  }
}

const isChain = /^(instance|(?![0-]+$)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/
let place = 0, previous = Buffer.alloc(32), chain
for await (const line of linesOf(trail)) {
  place++
  let e, whole = false
  try {
    e = JSON.parse(line)
    const hash = sha256(encode('keyhook/audit/v1', ...fields.map(name => e[name]), bytes(e.prev_hash)))
    whole = line.equals(Buffer.from(written(e, [...fields, 'prev_hash', 'hash']))) && isHash(e.hash) && hash.equals(bytes(e.hash)) &&
      e.seq === place && (chain ?? e.chain) === e.chain && isChain.test(e.chain) && isHash(e.prev_hash) && bytes(e.prev_hash).equals(previous)
  } catch {}
  if (!whole) end(`broken at ${place}`, 1)
  if (place === 1) introduce(e)
  const mark = signed.get(chain)?.marks.get(place)
  if (mark && mark !== e.hash) end(`broken at or before ${place}: rewritten`, 1)
  previous = bytes(e.hash)
}
const said = chain ? signed.get(chain) : signed.values().next().value
if (said && Math.max(...said.marks.keys()) > place) end(`broken at ${place + 1}: cut`, 1)
end(`ok, ${place} entries, the last one's hash is ${previous.toString('hex')}`, 0)

// Tells which chain it is, and what speaks for it. A checkpoint names every chain that
// had an entry: one that it leaves out began later, give or take an hour.
function introduce(first) {
  chain = first.chain
  console.log(`chain ${chain}`)
  const said = signed.get(chain)
  if (!points) console.log("no checkpoints: whether the end is missing, or all was written anew, can't be told")
  else if (said) console.log(`${said.points} checkpoints, the last of ${said.last}, signed with ${publicKey ? 'a trusted key' : `the key ${[...said.keys].join(', ')}: compare it with the one you kept`}`)
  else {
    console.log(`none of the ${points} checkpoints names this chain, so none vouches for it: whether it is the right one, whole and as it was written, can't be told`)
    if (!(Date.parse(first.at) >= Date.parse(newest.at) - 3600_000)) end('broken at 1: rewritten', 1)
  }
}

// A file may hold several public keys: instances may have had different ones, or later ones.
function keysIn(pem) {
  const keys = pem.match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g) ?? end('there is no public key in the file', 1)
  return keys.map(key => createPublicKey(key).export({ type: 'spki', format: 'der' }))
}

function end(message, code) {
  console.log(message)
  process.exit(code)
}
