package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/fault"
)

func TestOf(t *testing.T) {
	t.Parallel()
	wrapped := fmt.Errorf("find key: %w", fault.New(fault.NotFound, "There is no such key."))
	if f, known := fault.Of(wrapped); !known || f.Kind != fault.NotFound || f.Status() != 404 {
		t.Errorf("Of(wrapped) = %+v, %v", f, known)
	}
	f, known := fault.Of(errors.New("connection to 10.0.0.7 refused"))
	if known || f.Status() != 500 || f.Message != "Something went wrong on our side." {
		t.Errorf("Of(our own trouble) = %+v, %v; want status 500 that gives nothing away", f, known)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	if err := fault.Join(nil); err != nil {
		t.Errorf("Join of none = %v", err)
	}
	err := fault.Join([]*fault.Error{fault.On("name", fault.Invalid, "a"), fault.On("source", fault.Conflict, "b")})
	f, _ := fault.Of(err)
	if diff := cmp.Diff(map[string]string{"name": "a", "source": "b"}, f.Fields()); diff != "" || f.Status() != 422 {
		t.Errorf("status %d, fields (-want +got):\n%s", f.Status(), diff)
	}
}
