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
}

// where returns the conditions on d, a row of deliveries, that hold for those that
// are meant, and args with their values added. Time is asked of the id, which begins
// with it, so that only the weeks in question are looked at.
func (f DeliveryFilter) where(workspace uuid.UUID, args []any) (string, []any) {
	var conditions []string
	add := func(when bool, condition string, value any) {
		if when {
			args = append(args, value)
			conditions = append(conditions, fmt.Sprintf(condition, len(args)))
		}
	}
	add(true, `d.workspace_id = $%[1]d`, workspace)
	add(!f.From.IsZero(), `d.id >= uuid_floor($%[1]d)`, f.From)
	add(!f.Until.IsZero(), `d.id < uuid_floor($%[1]d)`, f.Until)
	add(f.Key != uuid.Nil, `d.webhook_key_id = $%[1]d`, f.Key)
	add(f.Outcome != "", `d.outcome = $%[1]d`, f.Outcome)
	add(f.Reason != "", `d.reason = $%[1]d`, f.Reason)
	add(f.Scheme != "", `d.scheme = $%[1]d`, f.Scheme)
	add(f.Method != "", `d.auth_method = $%[1]d`, f.Method)
	add(f.Generation > 0, `d.credential_generation = $%[1]d`, f.Generation)
	if f.Address.IsSingleIP() {
		add(true, `d.address = $%[1]d`, f.Address.Addr().Unmap().String())
	} else {
		// What is no address can't be cast to one; CASE keeps the order of the two.
		add(f.Address.IsValid(), `CASE WHEN d.address ~ '^[0-9a-f:.]+$' THEN d.address::inet <<= $%[1]d::inet ELSE false END`, f.Address.Masked().String())
	}
	add(f.Source != "", `d.source = $%[1]d`, f.Source)
	add(f.SourceRef != "", `d.source_ref = $%[1]d`, f.SourceRef)
	if f.Text != "" {
		add(true, `(d.user_agent ILIKE $%[1]d OR d.headers::text ILIKE $%[1]d`, "%"+likeText.Replace(f.Text)+"%")
		add(true, `OR position($%[1]d::bytea IN d.body) > 0)`, []byte(f.Text))
		last := len(conditions) - 1
		conditions = append(conditions[:last-1], conditions[last-1]+" "+conditions[last])
	}
	return strings.Join(conditions, " AND "), args
}

// likeText keeps a text's own characters from being patterns.
var likeText = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
