// Package store keeps the shop's items and orders in PostgreSQL.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"

	"shop/order"
)

// channel is where PostgreSQL tells that orders have changed.
const channel = "orders_changed"

// A Store is a pool of connections to the shop's database.
type Store struct {
	db  *sql.DB
	url string
}

// Open prepares for the database at databaseURL, whose password is in the file passwordFile. Nothing is connected yet.
func Open(databaseURL, passwordFile string) (*Store, error) {
	full, err := withPassword(databaseURL, passwordFile)
	if err != nil {
		return nil, err
	}
	connector, err := pq.NewConnector(full)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL can't be used: %w", err)
	}
	return &Store{db: sql.OpenDB(connector), url: full}, nil
}

func withPassword(databaseURL, passwordFile string) (string, error) {
	address, err := url.Parse(databaseURL)
	if err != nil || address.Scheme != "postgres" || address.User == nil {
		return "", fmt.Errorf("DATABASE_URL must look like postgres://user@host/database")
	}
	password, err := os.ReadFile(passwordFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the database's password: %w", err)
	}
	address.User = url.UserPassword(address.User.Username(), strings.TrimSpace(string(password)))
	return address.String(), nil
}

// Close ends the pool.
func (s *Store) Close() error { return s.db.Close() }

// Ping asks whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Items lists what is sold, in the order of the shelves.
func (s *Store) Items(ctx context.Context) ([]order.Item, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, name, story, cents FROM items ORDER BY shelf`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []order.Item
	for rows.Next() {
		var i order.Item
		if err := rows.Scan(&i.ID, &i.Name, &i.Story, &i.Cents); err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	return items, rows.Err()
}

// Orders lists the newest orders that the worker has seen, the newest first.
func (s *Store) Orders(ctx context.Context) ([]order.Order, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, item, quantity, status, placed FROM orders ORDER BY placed DESC LIMIT 50`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var orders []order.Order
	for rows.Next() {
		var o order.Order
		if err := rows.Scan(&o.ID, &o.Item, &o.Quantity, &o.Status, &o.Placed); err != nil {
			return nil, err
		}
		orders = append(orders, o)
	}
	return orders, rows.Err()
}

// Save writes an order down, or how far it has come if it's written already. An item that the shop doesn't sell is an
// error.
func (s *Store) Save(ctx context.Context, o order.Order) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO orders (id, item, quantity, status, placed) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET status = excluded.status`, o.ID, o.Item, o.Quantity, o.Status, o.Placed)
	return err
}

// Watch calls changed whenever orders have changed, and after each lost connection, until ctx ends.
func (s *Store) Watch(ctx context.Context, changed func()) error {
	listener := pq.NewListener(s.url, 100*time.Millisecond, 10*time.Second, nil)
	defer listener.Close()
	stop := context.AfterFunc(ctx, func() { listener.Close() }) // Listen waits for the database, however long
	defer stop()
	if err := listener.Listen(channel); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case _, open := <-listener.Notify: // also when the connection was lost and is back
			if !open {
				return context.Cause(ctx)
			}
			changed()
		}
	}
}
