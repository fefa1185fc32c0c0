// Package ingest receives webhooks: the endpoints under /hooks and
// /api/webhooks, and the writer that commits what they take. It owns no table;
// keys are keyring's and what arrived is inbox's.
//
// Its invariant: a 200 is written after the commit, and the transaction that
// stores a request checks once more that its key may send.
package ingest
