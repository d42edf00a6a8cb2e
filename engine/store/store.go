// Package store keeps the engine's one file of what was applied. It knows nothing of
// what the documents in it say.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/orlop/orlop/engine/boltfile"
	"github.com/orlop/orlop/engine/repair"
	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/disk"
)

// Store is the engine's one file of what was applied: small documents in
// buckets, all of them in memory too. Writes are gathered and reach the disk
// together, in the order in which they were made; Flush waits for them.
// Containerd's metadata and the volumes' directories hold what must not be
// lost, so a store that is damaged is set aside and begun anew.
type Store struct {
	db  *bolt.DB
	log *slog.Logger

	mu      sync.Mutex
	docs    map[string]map[string][]byte // guarded by mu
	dirty   map[string]map[string]bool   // guarded by mu
	failure error                        // guarded by mu; of the last write
	full    func()                       // guarded by mu; makes room on a full disk; may be nil
	wake    chan struct{}
	flushed *sync.Cond // on mu
	writing bool       // guarded by mu
	closed  bool       // guarded by mu
	done    chan struct{}
}

// Open opens the file at path. The second result says, in the user's
// words, that a damaged one was set aside.
func Open(path string, log *slog.Logger) (*Store, string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, "", err
	}
	db, docs, err := openBolt(path)
	warning := ""
	if err != nil && repair.IsDamage(err) {
		aside, rerr := boltfile.SetAside(path, time.Now())
		if rerr != nil {
			return nil, "", fmt.Errorf("cannot open %s: %w", path, err)
		}
		warning = fmt.Sprintf("the engine's state was damaged (%v) and is rebuilt from containerd; the old file is %s", err, aside)
		db, docs, err = openBolt(path)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot open %s: %w", path, err)
	}
	s := &Store{
		db: db, log: log, docs: docs, dirty: map[string]map[string]bool{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.flushed = sync.NewCond(&s.mu)
	go s.write()
	return s, warning, nil
}

// openBolt opens a database and reads it whole. A damaged one may panic, or
// lead to memory that is not there: both are errors here.
func openBolt(path string) (db *bolt.DB, docs map[string]map[string][]byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged: %v", p)
		}
		if err != nil && db != nil {
			db.Close()
			db = nil
		}
	}()
	// This comes first: bbolt would follow what leads astray.
	if st, err := os.Stat(path); err == nil && st.Size() > 0 {
		if err := repair.CheckPages(path); err != nil {
			return nil, nil, err
		}
	}
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, nil, err
	}
	err = db.View(func(tx *bolt.Tx) error {
		if st, err := os.Stat(path); err != nil || st.Size() < tx.Size() {
			return errors.Join(err, errors.New("damaged: the file is cut off"))
		}
		// This comes first: what leads astray shows here, where it can be recovered from.
		if docs, err = readAll(tx); err != nil {
			return err
		}
		var first error
		for cerr := range tx.Check() {
			if first == nil {
				first = cerr
			}
		}
		return first
	})
	return db, docs, err
}

func readAll(tx *bolt.Tx) (map[string]map[string][]byte, error) {
	all := map[string]map[string][]byte{}
	err := tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		docs := map[string][]byte{}
		all[string(name)] = docs
		return b.ForEach(func(k, v []byte) error {
			doc, err := unseal(string(name), string(k), v)
			docs[string(k)] = doc
			return err
		})
	})
	return all, err
}

// seal puts a checksum before a document, for bbolt has none of its own.
func seal(bucket, key string, doc []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, checksum(bucket, key, doc)), doc...)
}

func unseal(bucket, key string, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 || binary.BigEndian.Uint32(sealed) != checksum(bucket, key, sealed[4:]) {
		return nil, fmt.Errorf("damaged: document %q of %q is not as it was written", key, bucket)
	}
	return append([]byte{}, sealed[4:]...), nil
}

func checksum(bucket, key string, doc []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, []byte(bucket+"\x00"+key+"\x00"))
	return crc32.Update(sum, table, doc)
}

// Save keeps a document.
func (s *Store) Save(bucket, key string, value []byte) { s.change(bucket, key, value) }

// Delete forgets a document.
func (s *Store) Delete(bucket, key string) { s.change(bucket, key, nil) }

func (s *Store) change(bucket, key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.docs[bucket] == nil {
		s.docs[bucket] = map[string][]byte{}
	}
	if s.dirty[bucket] == nil {
		s.dirty[bucket] = map[string]bool{}
	}
	if value == nil {
		delete(s.docs[bucket], key)
	} else {
		s.docs[bucket][key] = value
	}
	s.dirty[bucket][key] = true
	s.rouse()
}

// OnFull says what is to be called when the disk is full, before a write is tried
// once more.
func (s *Store) OnFull(makeRoom func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = makeRoom
}

// rouse wakes the writer; the caller holds mu.
func (s *Store) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Load gives all documents of a bucket.
func (s *Store) Load(bucket string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.docs[bucket]), nil
}

// Get gives one document, or nil.
func (s *Store) Get(bucket, key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.docs[bucket][key]
}

// ErrClosed is what a flush says after the end.
var ErrClosed = errors.New("the engine's state is closed")

// Flush waits until all that was saved is on the disk. What could not be
// written before is tried again.
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.failure != nil && !s.writing {
		s.failure = nil
		s.rouse()
	}
	for (s.writing || len(s.dirty) > 0) && s.failure == nil && !s.closed {
		s.flushed.Wait()
	}
	return s.failure
}

// write is the one writer of the file.
func (s *Store) write() {
	defer close(s.done)
	for range s.wake {
		s.mu.Lock()
		batch := map[string]map[string][]byte{}
		for bucket, keys := range s.dirty {
			batch[bucket] = map[string][]byte{}
			for key := range keys {
				batch[bucket][key] = s.docs[bucket][key]
			}
		}
		s.dirty = map[string]map[string]bool{}
		s.writing, s.failure = true, nil // who waits is told of this write
		full := s.full
		s.mu.Unlock()

		failpoint.Hit("store/writing")
		err := s.commit(batch)
		if disk.IsFull(err) && full != nil {
			full()
			err = s.commit(batch)
		}
		failpoint.Hit("store/written")
		s.mu.Lock()
		s.writing = false
		if err != nil {
			s.log.Error("cannot write the engine's state", "path", s.db.Path(), "error", err)
			s.restore(batch)
		}
		s.failure = err
		s.flushed.Broadcast()
		s.mu.Unlock()
	}
}

// restore marks as dirty again what could not be written.
func (s *Store) restore(batch map[string]map[string][]byte) {
	for bucket, docs := range batch {
		if s.dirty[bucket] == nil {
			s.dirty[bucket] = map[string]bool{}
		}
		for key := range docs {
			s.dirty[bucket][key] = true
		}
	}
}

func (s *Store) commit(batch map[string]map[string][]byte) error {
	if err := failpoint.Fail("store/committing"); err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for bucket, docs := range batch {
			b, err := tx.CreateBucketIfNotExists([]byte(bucket))
			if err != nil {
				return err
			}
			for key, value := range docs {
				if value == nil {
					err = b.Delete([]byte(key))
				} else {
					err = b.Put([]byte(key), seal(bucket, key, value))
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Close writes what is left and closes the file.
func (s *Store) Close() error {
	err := s.Flush()
	s.mu.Lock()
	s.closed = true
	close(s.wake)
	s.mu.Unlock()
	<-s.done
	return errors.Join(err, s.db.Close())
}
