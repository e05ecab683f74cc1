package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/topiq/topiq/service"
)

// tokens are few, and read as a whole.
type tokens struct {
	mu   sync.Mutex
	rows map[string]service.Token
}

func (t *tokens) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = nil
}

// TopicName implements service.TopicStore.
func (s *Store) TopicName(_ context.Context, id service.TopicID) (service.TopicName, error) {
	t := find(&s.topics, id)
	if t == nil {
		return "", service.ErrTopicNotFound
	}
	return t.name, nil
}

// CreateToken implements service.TokenStore.
func (s *Store) CreateToken(_ context.Context, token service.Token, forget time.Time) error {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	if _, taken := s.tokens.rows[token.ID]; taken {
		return service.ErrInternal.Because(fmt.Errorf("the id %s of a token was there already", token.ID))
	}
	for id, t := range s.tokens.rows {
		if t.DeadBefore(stored(forget)) {
			delete(s.tokens.rows, id)
		}
	}
	if s.tokens.rows == nil {
		s.tokens.rows = map[string]service.Token{}
	}
	token.Scopes = slices.Clone(token.Scopes)
	token.CreatedAt, token.ExpiresAt, token.RevokedAt = stored(token.CreatedAt), stored(token.ExpiresAt), time.Time{}
	s.tokens.rows[token.ID] = token
	return nil
}

// Tokens implements service.TokenStore.
func (s *Store) Tokens(context.Context) ([]service.Token, error) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	all := make([]service.Token, 0, len(s.tokens.rows))
	for _, token := range s.tokens.rows {
		token.Scopes = slices.Clone(token.Scopes)
		all = append(all, token)
	}
	slices.SortFunc(all, func(a, b service.Token) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// RevokeToken implements service.TokenStore.
func (s *Store) RevokeToken(_ context.Context, id string, at time.Time) (bool, error) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	token, found := s.tokens.rows[id]
	if found && token.RevokedAt.IsZero() {
		token.RevokedAt = stored(at)
		s.tokens.rows[id] = token
	}
	return found, nil
}
