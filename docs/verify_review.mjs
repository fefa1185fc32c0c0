// Verifies an access review's file, without Keyhook:
//   node verify_review.mjs review.ndjson [public-keys.pem [trail.ndjson]]
// It is written from docs/evidence.md alone, and needs nothing but Node 18. With the
// trail, which verify_audit.mjs verifies, it also looks for the entries that the
// review says it rests on.
import { createHash, createPublicKey, verify } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'

const [review, publicKey, trail] = process.argv.slice(2)

function encode(...values) {
  return Buffer.concat(values.flatMap(value => {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(String(value))
    const length = Buffer.alloc(8)
    length.writeBigUInt64BE(BigInt(bytes.length))
    return [length, bytes]
  }))
}
const bytes = text => Buffer.from(text, 'base64')

// The one writing of a signature's line: these members in this order, each once.
function written(seal) {
  const texts = (of, ...names) => Object.fromEntries(names.map(name => [name, String(of[name])]))
  const base64 = text => bytes(text).toString('base64')
  return JSON.stringify({
    ...texts(seal, 'line', 'review', 'made_at'), made_by: texts(seal.made_by, 'kind', 'id', 'name'),
    head: { ...texts(seal.head, 'chain'), seq: Number(seal.head.seq), hash: base64(seal.head.hash) }, checkpoint: Number(seal.checkpoint),
    sha256: base64(seal.sha256), ...texts(seal, 'key_id'), public_key: base64(seal.public_key), signature: base64(seal.signature),
  }).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
}

try {
  const file = await readFile(review)
  if (file.at(-1) !== 10) end('broken: the file is cut', 1)
  const cut = file.lastIndexOf(10, file.length - 2) + 1
  const seal = JSON.parse(file.subarray(cut).toString())
  const lines = file.subarray(0, cut).toString().split('\n').filter(Boolean).map(line => JSON.parse(line))
  const head = lines[0]
  if (seal.line !== 'signature' || head.line !== 'review' || head.format !== 'keyhook/access-review/v1') end('broken: no access review', 1)

  if (!file.subarray(cut, -1).equals(Buffer.from(written(seal)))) end('broken: the last line is not written as it was signed', 1)

  const sum = createHash('sha256').update(file.subarray(0, cut)).digest()
  if (!sum.equals(bytes(seal.sha256))) end('broken: the lines are not those that were signed', 1)
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), bytes(seal.public_key)])
  if (publicKey && !keysIn(await readFile(publicKey, 'utf8')).some(key => key.equals(der)))
    end(`broken: signed with another key, ${seal.key_id}`, 1)
  const by = seal.made_by
  const data = encode(head.format, seal.review, seal.made_at, by.kind, by.id, by.name, seal.head.chain, seal.head.seq, bytes(seal.head.hash),
    seal.checkpoint, sum, seal.key_id, bytes(seal.public_key))
  const keyID = createHash('sha256').update(bytes(seal.public_key)).digest('hex').slice(0, 16)
  if (keyID !== seal.key_id || !verify(null, data, createPublicKey({ key: der, type: 'spki', format: 'der' }), bytes(seal.signature)))
    end('broken: the signature does not hold', 1)

  const count = kind => lines.filter(line => line.line === kind).length
  if (count('person') !== head.people || count('key') !== head.keys) end('broken: lines are missing', 1)
  if (trail) {
    const wanted = new Map([head.trail, seal.head].filter(mark => mark.seq > 0).map(mark => [mark.seq, mark]))
    for await (const line of createInterface({ input: createReadStream(trail) })) {
      const entry = JSON.parse(line), mark = wanted.get(entry.seq)
      if (mark && (mark.chain !== entry.chain || mark.hash !== entry.hash)) end(`broken: entry ${entry.seq} is not in this trail`, 1)
      wanted.delete(entry.seq)
    }
    if (wanted.size) end(`broken: the trail lacks entry ${[...wanted.keys()][0]}`, 1)
  }
  end(`ok, ${head.keys} keys of ${head.covers}, made ${seal.made_at}, signed with the key ${seal.key_id}`, 0)
} catch (failure) {
  end(`broken: ${failure.message}`, 1)
}

// A file may hold several public keys: instances may have had different ones, or later ones.
function keysIn(pem) {
  const keys = pem.match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g) ?? end('broken: there is no public key in the file', 1)
  return keys.map(key => createPublicKey(key).export({ type: 'spki', format: 'der' }))
}

function end(message, code) {
  console.log(message)
  process.exit(code)
}
