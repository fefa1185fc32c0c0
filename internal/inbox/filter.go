package inbox

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A DeliveryFilter says which of a workspace's deliveries are meant. A zero field
// means any; the zero filter means all of them.
type DeliveryFilter struct {
	From, Until time.Time // began in [From, Until), to the millisecond
	Key         uuid.UUID
	Outcome     Outcome
	Reason      Reason
	Scheme      string
	Method      Method
	Generation  int
	Address     netip.Prefix // one that is as long as its address is that address
	Source      string
	SourceRef   string
	Text        string // in the user agent or a kept header, in any case; in a kept body, as it is written
	SeesBodies  bool   // Text is looked for in bodies too: who asks may see them
}

// conditions are parts of a WHERE clause with their values.
type conditions struct {
	parts []string
	args  []any
}

// add adds a condition whose value is written as %[1]d in it.
func (c *conditions) add(when bool, condition string, value any) {
	if when {
		c.args = append(c.args, value)
		c.parts = append(c.parts, fmt.Sprintf(condition, len(c.args)))
	}
}

// arg adds a value alone and returns what stands for it.
func (c *conditions) arg(value any) string {
	c.args = append(c.args, value)
	return fmt.Sprintf("$%d", len(c.args))
}

func (c *conditions) String() string { return strings.Join(c.parts, " AND ") }

// found adds what an index finds, in the order of the ids. Time is asked of the id,
// which begins with it, so that only the weeks in question are looked at.
func (f DeliveryFilter) found(workspace uuid.UUID, c *conditions) {
	c.add(true, `d.workspace_id = $%[1]d`, workspace)
	c.add(!f.From.IsZero(), `d.id >= uuid_floor($%[1]d)`, f.From)
	c.add(!f.Until.IsZero(), `d.id < uuid_floor($%[1]d)`, f.Until)
	c.add(f.Key != uuid.Nil, `d.webhook_key_id = $%[1]d`, f.Key)
	c.add(f.Outcome != "" && f.Outcome != Accepted, `d.outcome = $%[1]d`, f.Outcome)
	c.add(f.Reason != "", `d.reason = $%[1]d`, f.Reason)
	c.add(f.SourceRef != "", `d.source_ref = $%[1]d`, f.SourceRef)
}

// compared adds what each row has to be looked at for. It tells whether it added
// anything.
func (f DeliveryFilter) compared(c *conditions) bool {
	before := len(c.parts)
	c.add(f.Outcome == Accepted, `d.outcome = $%[1]d`, f.Outcome)
	c.add(f.Scheme != "", `d.scheme = $%[1]d`, f.Scheme)
	c.add(f.Method != "", `d.auth_method = $%[1]d`, f.Method)
	c.add(f.Generation > 0, `d.credential_generation = $%[1]d`, f.Generation)
	c.add(f.Source != "", `d.source = $%[1]d`, f.Source)
	f.fromAddress(c)
	f.withText(c)
	return len(c.parts) > before
}

// fromAddress adds the address. What is no address can't be cast to one; CASE keeps
// the order of the two.
func (f DeliveryFilter) fromAddress(c *conditions) {
	switch {
	case !f.Address.IsValid():
	case f.Address.IsSingleIP():
		c.add(true, `d.address = $%[1]d`, f.Address.Addr().Unmap().String())
	default:
		c.add(true, `CASE WHEN d.address ~ '^[0-9a-f:.]+$' THEN d.address::inet <<= $%[1]d::inet ELSE false END`, f.Address.Masked().String())
	}
}

func (f DeliveryFilter) withText(c *conditions) {
	if f.Text == "" {
		return
	}
	pattern := c.arg("%" + likeText.Replace(f.Text) + "%")
	text := fmt.Sprintf(`d.user_agent ILIKE %[1]s OR d.content_type ILIKE %[1]s OR EXISTS (SELECT FROM jsonb_each_text(d.headers) AS h WHERE h.value ILIKE %[1]s OR h.key ILIKE %[1]s)`, pattern)
	if f.SeesBodies {
		text += fmt.Sprintf(` OR position(%s::bytea IN d.body) > 0`, c.arg([]byte(f.Text)))
	}
	c.parts = append(c.parts, "("+text+")")
}

// likeText keeps a text's own characters from being patterns.
var likeText = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
