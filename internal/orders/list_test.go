package orders

import (
	"context"
	"io/fs"
	"testing"

	"github.com/caddyserver/certmagic"
)

// walked is a file system whose first listings meet a key that is deleted meanwhile.
type walked struct {
	*certmagic.FileStorage
	fails int
}

func (w *walked) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	keys, err := w.FileStorage.List(ctx, prefix, recursive)
	if w.fails--; w.fails >= 0 && err == nil {
		return keys[:len(keys)/2], fs.ErrNotExist
	}
	return keys, err
}

func TestKeysThatAreDeletedMeanwhileHideNoOthers(t *testing.T) {
	w := &walked{FileStorage: &certmagic.FileStorage{Path: t.TempDir()}}
	ctx := context.Background()
	if keys, err := given.listKeys(ctx, w); len(keys) != 0 || err != nil {
		t.Errorf("in an empty storage: %v %v", keys, err)
	}
	for _, address := range []string{"a:80", "b:80"} {
		if err := w.Store(ctx, given.storageKey(key{"", address}), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for _, fails := range []int{0, 1, maxLists - 1} {
		w.fails = fails
		if keys, err := given.listKeys(ctx, w); len(keys) != 2 || err != nil {
			t.Errorf("listed %d times in vain: %v %v", fails, keys, err)
		}
	}
	w.fails = maxLists
	if keys, err := given.listKeys(ctx, w); err == nil {
		t.Errorf("never listed: %v", keys)
	}
}
