package store

import (
	"context"
	"embed"
	"fmt"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the database to the newest shape: each file of migrations once, in the order of their names, all or
// nothing. Two that run at once do it one after the other. It returns the names of those that it ran.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // says that the transaction is done, once it is
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(7467)`); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY)`); err != nil {
		return nil, err
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var ran []string
	for _, file := range files {
		result, err := tx.ExecContext(ctx, `INSERT INTO migrations VALUES ($1) ON CONFLICT DO NOTHING`, file.Name())
		if err != nil {
			return nil, err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return nil, err
			}
			continue
		}
		text, err := migrations.ReadFile("migrations/" + file.Name())
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		ran = append(ran, file.Name())
	}
	return ran, tx.Commit()
}
