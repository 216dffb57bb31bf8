package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"

	_ "modernc.org/sqlite"
)

func init() {
	for name, mode := range map[string]string{"sqlite-wal": "WAL", "sqlite-journal": "DELETE"} {
		stores[name] = func(path string) (store, error) { return openSQLite(path, mode) }
	}
}

type sqliteStore struct{ db *sql.DB }

func openSQLite(path, mode string) (store, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	// synchronous(EXTRA) makes commits in WAL mode durable.
	db, err := sql.Open("sqlite", "file:"+path+"/db?_pragma=journal_mode("+mode+")&_pragma=synchronous(EXTRA)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`BEGIN IMMEDIATE;
		CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, amount INTEGER);
		CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, data BLOB);
		COMMIT`)
	return sqliteStore{db}, err
}

func (s sqliteStore) close() error { return s.db.Close() }

func (s sqliteStore) change(n int) error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	from, to, amount := transfer(n)
	for _, move := range [][2]int{{from, -amount}, {to, amount}} {
		_, err := tx.Exec(`INSERT INTO accounts VALUES (?1, ?2 + ?3) ON CONFLICT (id) DO UPDATE SET amount = amount + ?3`, move[0], initial, move[1])
		if err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`INSERT INTO log VALUES (?, ?)`, n, payload(n)); err != nil {
		return err
	}
	return tx.Commit()
}

func (s sqliteStore) state() (n int, err error) {
	var verdict string
	if err := s.db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		return 0, fmt.Errorf("integrity check: %s, %w", verdict, err)
	}
	rows, err := s.db.Query(`SELECT id, data FROM log ORDER BY id`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		var data []byte
		if err := rows.Scan(&id, &data); err != nil {
			return n, err
		}
		n++
		if id != n || !bytes.Equal(data, payload(n)) {
			return n, fmt.Errorf("entry %d of the log is %d with %d bytes", n, id, len(data))
		}
	}
	if err := rows.Err(); err != nil {
		return n, err
	}
	rows.Close()
	for i, want := range balances(n) {
		got := initial
		if err := s.db.QueryRow(`SELECT amount FROM accounts WHERE id = ?`, i).Scan(&got); err != nil && err != sql.ErrNoRows {
			return n, err
		}
		if got != want {
			return n, fmt.Errorf("account %d has %d after %d changes; want %d", i, got, n, want)
		}
	}
	return n, nil
}
