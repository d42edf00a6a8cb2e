package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
)

// Server is the API of a vault.
type Server struct {
	api.UnimplementedVaultServer
	Vault *Vault
	// Users are the projects that have something of an entry; an error where that can't be known.
	Users func(kind, name string) ([]string, error)
}

func kindOf(isSecret bool) Kind {
	if isSecret {
		return Secrets
	}
	return Configs
}

// Word is what people call one of a kind.
func (k Kind) Word() string { return strings.TrimSuffix(string(k), "s") }

// Put implements api.VaultServer.
func (s *Server) Put(_ context.Context, r *api.PutRequest) (*api.VaultEntry, error) {
	defer clear(r.Content)
	kind := kindOf(r.Entry.GetSecret())
	e := Entry{Kind: kind, Name: r.Entry.GetName(), Labels: r.Entry.GetLabels()}
	e, err := s.Vault.Put(e, r.Content, r.Replace)
	switch {
	case errors.Is(err, ErrExists):
		return nil, status.Errorf(codes.AlreadyExists, "there is a %s %s already: use --replace to give it another content", kind.Word(), e.Name)
	case err != nil:
		return nil, fmt.Errorf("cannot keep %s %s: %w", kind.Word(), e.Name, err)
	}
	made, _ := s.entry(e) // it is kept, whoever uses it
	return made, nil
}

// Entries implements api.VaultServer.
func (s *Server) Entries(_ context.Context, r *api.EntriesRequest) (*api.EntriesReply, error) {
	list, err := s.Vault.Entries(kindOf(r.Secret))
	reply := &api.EntriesReply{}
	var unknown error // who uses them: the same of all
	for _, e := range list {
		entry, err := s.entry(e)
		reply.Entries = append(reply.Entries, entry)
		unknown = err
	}
	err = errors.Join(err, unknown)
	if err != nil {
		reply.Warning = err.Error()
	}
	return reply, nil
}

// Content implements api.VaultServer: that of a config. Those of secrets are for
// containers.
func (s *Server) Content(_ context.Context, r *api.ContentRequest) (*api.ContentReply, error) {
	content, err := s.Vault.Content(Configs, r.Name)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", r.Name, err)
	}
	return &api.ContentReply{Content: content}, nil
}

// Remove implements api.VaultServer.
func (s *Server) Remove(_ context.Context, r *api.RemoveEntryRequest) (*api.RemoveEntryReply, error) {
	kind := kindOf(r.Secret)
	users, err := s.Users(string(kind), r.Name)
	if err != nil {
		return nil, fmt.Errorf("cannot remove %s %s: %w", kind.Word(), r.Name, err)
	}
	if len(users) > 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "%s %s is used by %s: run \"orlop -p %s down\" first",
			kind.Word(), r.Name, strings.Join(users, ", "), users[0])
	}
	err = s.Vault.Remove(kind, r.Name)
	if errors.Is(err, ErrAbsent) {
		return &api.RemoveEntryReply{Absent: true}, nil
	}
	return &api.RemoveEntryReply{}, err
}

func (s *Server) entry(e Entry) (*api.VaultEntry, error) {
	users, err := s.Users(string(e.Kind), e.Name)
	return &api.VaultEntry{
		Secret: e.Kind == Secrets, Name: e.Name, Labels: e.Labels, CreatedUnixMs: e.Created.UnixMilli(), UpdatedUnixMs: e.Updated.UnixMilli(), Users: users,
	}, err
}
