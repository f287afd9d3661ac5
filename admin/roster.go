package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/roster"
)

// listRosters lists the rosters of the configuration that runs.
func listRosters(w http.ResponseWriter) error {
	all := []roster.View{}
	for _, r := range roster.Running() {
		all = append(all, r.View())
	}
	return reply(w, http.StatusOK, all)
}

// rosterNamed returns the roster with the name.
func rosterNamed(name string) (*roster.Roster, error) {
	if r := roster.Named(name); r != nil {
		return r, nil
	}
	var names []string
	for _, r := range roster.Running() {
		names = append(names, r.Name())
	}
	return nil, fail(http.StatusNotFound, fmt.Errorf("there is no roster '%s'; %s", name, cfg.There(names)))
}

// serveRoster serves a request for the roster.
func serveRoster(w http.ResponseWriter, r *http.Request, name string) error {
	of, err := rosterNamed(name)
	if err != nil {
		return err
	}
	path := root + "rosters/" + url.PathEscape(name)
	return method(w, r, map[string]func() error{http.MethodGet: func() error {
		w.Header().Set("ETag", etag(path, of.Tag()))
		return reply(w, http.StatusOK, of.View())
	}})
}

// serveMember serves a request for the roster's member, which is written as for
// reverse_proxy.
func serveMember(w http.ResponseWriter, r *http.Request, name, upstream string) error {
	of, err := rosterNamed(name)
	if err != nil {
		return err
	}
	address, err := of.Resolve(upstream)
	if err != nil {
		return failRoster(err)
	}
	path := root + "rosters/" + url.PathEscape(name) + "/members/" + url.PathEscape(address)
	tag, err := matched(r, path)
	if err != nil {
		return err
	}
	// answer answers with the member as it is after a change, or with the error.
	answer := func(status int, err error) error {
		if err != nil {
			return failRoster(err)
		}
		member, ok := of.Member(address)
		if !ok { // another operator has removed it meanwhile
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		w.Header().Set("ETag", etag(path, of.Tag()))
		return reply(w, status, member)
	}
	return method(w, r, map[string]func() error{
		http.MethodGet: func() error {
			if _, ok := of.Member(address); !ok {
				return failRoster(roster.ErrUnknown)
			}
			return answer(http.StatusOK, nil)
		},
		http.MethodPut: func() error {
			weight, _, err := readWeight(r)
			if err != nil {
				return err
			}
			isNew, err := of.Add(r.Context(), address, tag, weight)
			if isNew {
				return answer(http.StatusCreated, err)
			}
			return answer(http.StatusOK, err)
		},
		http.MethodPatch: func() error {
			weight, given, err := readWeight(r)
			if err == nil && !given {
				err = fail(http.StatusBadRequest, errors.New("the body changes nothing; there is weight"))
			}
			if err != nil {
				return err
			}
			return answer(http.StatusOK, of.Weigh(r.Context(), address, tag, weight))
		},
		http.MethodDelete: func() error { return answer(http.StatusOK, of.Remove(r.Context(), address, tag)) },
	})
}

// failRoster returns the error as the admin API answers it.
func failRoster(err error) error {
	bad, unchanged := (*roster.BadAddress)(nil), (*roster.Unchanged)(nil)
	switch {
	case errors.Is(err, roster.ErrUnknown):
		return fail(http.StatusNotFound, err)
	case errors.Is(err, roster.ErrConflict):
		return fail(http.StatusPreconditionFailed, err)
	case errors.As(err, &bad):
		return fail(http.StatusBadRequest, err)
	case errors.As(err, &unchanged):
		return fail(http.StatusServiceUnavailable, err)
	}
	return fail(http.StatusBadRequest, err)
}

// readWeight reads the weight of a member from the body of the request: nil for null, or
// where the body has none. Given is whether it has one. No body is an empty object.
func readWeight(r *http.Request) (weight *int, given bool, err error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, false, fail(http.StatusBadRequest, fmt.Errorf("reading the body: %v", err))
	case len(body) > maxBody:
		return nil, false, fail(http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", maxBody))
	case len(bytes.TrimSpace(body)) == 0:
		return nil, false, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, false, fail(http.StatusBadRequest, errors.New("the content type is not application/json"))
	}
	var in struct {
		Weight json.RawMessage `json:"weight"`
	}
	if err := decodeStrictly(body, &in); err != nil {
		return nil, false, fail(http.StatusBadRequest, err)
	}
	if in.Weight == nil {
		return nil, false, nil
	}
	if weight, err = parseWeight(in.Weight); err != nil {
		return nil, false, fail(http.StatusBadRequest, err)
	}
	return weight, true, nil
}
