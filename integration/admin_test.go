package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
)

// load gives the config to the admin API. Each config starts that anew, and a
// connection to the one before may be reset: then it is given once more.
func load(config []byte) error {
	err := post(config)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) {
		err = post(config)
	}
	return err
}

// adminGet returns what the admin API answers at the path. As with [load], it asks once
// more where a connection to the API of the config before is reset.
func adminGet(t *testing.T, path string) []byte {
	t.Helper()
	get := func() ([]byte, error) {
		req, err := http.NewRequest(http.MethodGet, "http://"+adminAddr+path, nil)
		if err != nil {
			return nil, err
		}
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		return io.ReadAll(res.Body)
	}
	body, err := get()
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) {
		body, err = get()
	}
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func post(config []byte) error {
	req, err := http.NewRequest(http.MethodPost, "http://"+adminAddr+"/load", bytes.NewReader(config))
	if err != nil {
		return err
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cache-Control", "must-revalidate") // also where nothing has changed
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		return fmt.Errorf("loading the config: %s: %s", res.Status, text)
	}
	return nil
}
