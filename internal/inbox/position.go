package inbox

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/google/uuid"

	"keyhook/internal/fault"
)

// A Position is a place in the order in which a workspace's signals are read. The
// zero Position is in front of all of them.
type Position struct {
	Epoch int32     `db:"epoch"`
	XID   uint64    `db:"commit_xid"`
	ID    uuid.UUID `db:"signal_id"`
}

// Compare orders positions.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.XID, q.XID), bytes.Compare(p.ID[:], q.ID[:]))
}

// args are p as the parameters of a statement: epoch, transaction, id.
func (p Position) args() (epoch int32, xid string, id uuid.UUID) {
	return p.Epoch, strconv.FormatUint(p.XID, 10), p.ID
}

// A cursor is a position's text: its parts, and a sum over them and the workspace,
// by which a cursor of another workspace, or one that was changed, is known.
const (
	partsLen     = 4 + 8 + 16
	cursorSumLen = 8

	cursorVersion = "keyhook/cursor/v1"
)

// CursorLen is how long a cursor is.
const CursorLen = (partsLen + cursorSumLen) * 4 / 3

// Cursor returns the position's text for readers of a workspace. They know nothing
// of what is in it.
func (p Position) Cursor(workspace uuid.UUID) string {
	return string(p.AppendCursor(make([]byte, 0, CursorLen), workspace))
}

// AppendCursor adds it to a text.
func (p Position) AppendCursor(text []byte, workspace uuid.UUID) []byte {
	var room [partsLen + cursorSumLen]byte
	raw := binary.BigEndian.AppendUint32(room[:0], uint32(p.Epoch))
	raw = binary.BigEndian.AppendUint64(raw, p.XID)
	raw = append(raw, p.ID[:]...)
	sum := cursorSum(workspace, raw)
	raw = append(raw, sum[:]...)
	return base64.RawURLEncoding.AppendEncode(text, raw)
}

func cursorSum(workspace uuid.UUID, parts []byte) (sum [cursorSumLen]byte) {
	var room [len(cursorVersion) + len(workspace) + partsLen]byte
	whole := sha256.Sum256(append(append(append(room[:0], cursorVersion...), workspace[:]...), parts...))
	copy(sum[:], whole[:])
	return sum
}

var errCursor = fault.On("after", fault.Invalid, "The cursor is not one that this workspace has given out.")

// ParseCursor reads a cursor of a workspace.
func ParseCursor(workspace uuid.UUID, text string) (Position, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != partsLen+cursorSumLen || cursorSum(workspace, raw[:partsLen]) != [cursorSumLen]byte(raw[partsLen:]) {
		return Position{}, errCursor
	}
	return Position{Epoch: int32(binary.BigEndian.Uint32(raw)), XID: binary.BigEndian.Uint64(raw[4:]), ID: uuid.UUID(raw[12:28])}, nil
}

// An ExpiredError says that signals behind a cursor are gone, unread by its reader.
type ExpiredError struct {
	Oldest Position // what is behind it is kept
}

func (*ExpiredError) Error() string { return "the cursor is older than what is kept" }
