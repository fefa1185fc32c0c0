package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// A Head is the last entry of a chain at some moment.
type Head struct {
	Chain string `db:"chain" json:"chain"`
	Seq   int64  `db:"seq"   json:"seq"`
	Hash  []byte `db:"hash"  json:"hash"`
}

// A Checkpoint is a signed statement of where every chain stood at a moment. Kept
// where the database's owner can't reach it, it shows what was cut or rewritten
// later; since it names all chains, also that one is gone.
type Checkpoint struct {
	Number    int64  `json:"number"`
	At        string `json:"at"` // as in an entry
	KeyID     string `json:"key_id"`
	PublicKey []byte `json:"public_key"`
	Heads     []Head `json:"heads"` // in the order of their names
	Signature []byte `json:"signature"`
}

// Encode returns the bytes that the signature covers, made like an entry's.
func (c Checkpoint) Encode() []byte {
	fields := []string{"keyhook/checkpoint/v1", strconv.FormatInt(c.Number, 10), c.At, c.KeyID, string(c.PublicKey)}
	for _, head := range c.Heads {
		fields = append(fields, head.Chain, strconv.FormatInt(head.Seq, 10), string(head.Hash))
	}
	return encode(fields...)
}

// ErrCheckpoint says that a checkpoint can't be believed. Its text names the
// checkpoint, and is fit to be shown.
var ErrCheckpoint = errors.New("can't be believed")

var errSignature = errors.New("its signature does not hold")

// check verifies the signature, by one of the trusted keys if there are any.
func (c Checkpoint) check(trusted []ed25519.PublicKey) error {
	if len(c.PublicKey) != ed25519.PublicKeySize || keyID(c.PublicKey) != c.KeyID {
		return errSignature
	}
	known := len(trusted) == 0
	for _, key := range trusted {
		known = known || key.Equal(ed25519.PublicKey(c.PublicKey))
	}
	if !known {
		return fmt.Errorf("it is signed with the key %s, which is not among the trusted ones", c.KeyID)
	}
	if !ed25519.Verify(c.PublicKey, c.Encode(), c.Signature) {
		return errSignature
	}
	return nil
}

// Points sums up some checkpoints.
type Points struct {
	Count  int
	KeyIDs map[string]bool // that signed them
	Last   string          // when the latest was signed
}

func (p *Points) add(point Checkpoint) {
	p.Count++
	p.KeyIDs[point.KeyID] = true
	p.Last = max(p.Last, point.At)
}

// Checkpoints gathers what checkpoints say of each chain.
type Checkpoints struct {
	Points  // all of them
	trusted []ed25519.PublicKey
	counted map[string]bool // by signature: a file has those of the database again
	newest  Checkpoint      // by its number, without its heads
	chains  map[string]*said
	only    string // the chain that is gathered of; "": all
}

// said is what checkpoints say of a chain, and which ones do.
type said struct {
	Known
	Points
}

// NewCheckpoints returns none. It takes those signed with a trusted key alone, or
// with any if there is no such key.
func NewCheckpoints(trusted []ed25519.PublicKey) *Checkpoints {
	return &Checkpoints{Points: newPoints(), trusted: trusted, counted: map[string]bool{}, chains: map[string]*said{}}
}

func newPoints() Points { return Points{KeyIDs: map[string]bool{}} }

// Only makes c gather of one chain, and returns it: what all chains have together
// grows with their number.
func (c *Checkpoints) Only(chain string) *Checkpoints {
	c.only = chain
	return c
}

// Add takes a checkpoint, or says why it can't be believed.
func (c *Checkpoints) Add(point Checkpoint) error {
	if err := point.check(c.trusted); err != nil {
		return fmt.Errorf("checkpoint %d %w: %w", point.Number, ErrCheckpoint, err)
	}
	if c.counted[string(point.Signature)] {
		return nil
	}
	c.counted[string(point.Signature)] = true
	c.add(point)
	if point.Number > c.newest.Number {
		c.newest = Checkpoint{Number: point.Number, At: point.At}
	}
	for _, head := range point.Heads {
		if c.only != "" && c.only != head.Chain {
			continue
		}
		if c.chains[head.Chain] == nil {
			c.chains[head.Chain] = &said{Nothing(), newPoints()}
		}
		c.chains[head.Chain].add(point)
		c.chains[head.Chain].Note(head.Seq, head.Hash)
	}
	return nil
}

// Read adds the checkpoints of a file: a line of JSON each.
func (c *Checkpoints) Read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if text := bytes.TrimSpace(line); len(text) > 0 {
			var point Checkpoint
			if json.Unmarshal(text, &point) != nil {
				return fmt.Errorf("line %d %w: it is no checkpoint", n, ErrCheckpoint)
			}
			if err := c.Add(point); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// Of returns what is known of a chain. An export without an entry is of whatever
// chain: if there is any that has entries, it should have some.
func (c *Checkpoints) Of(chain string) Known {
	if said, ok := c.chains[chain]; ok {
		return said.Known
	}
	if chain == "" {
		for _, said := range c.chains {
			return said.Known
		}
	}
	known := Nothing()
	if at, err := time.Parse(timeFormat, c.newest.At); err == nil {
		known.notBefore = at.Add(-clocksApart)
	}
	return known
}

// About sums up the checkpoints that name a chain; where there is no name, all.
func (c *Checkpoints) About(chain string) Points {
	if said, ok := c.chains[chain]; ok {
		return said.Points
	}
	if chain == "" {
		return c.Points
	}
	return newPoints()
}

// Chains names the chains that they cover.
func (c *Checkpoints) Chains() []string {
	return slices.Collect(maps.Keys(c.chains))
}
