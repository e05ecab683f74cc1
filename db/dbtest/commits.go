package dbtest

import (
	"fmt"
	"time"

	"github.com/topiq/topiq/service"
)

func commitTests() []test {
	return []test{
		{"CommitMovesForwardOnly", commitForward},
		{"CommitIsVoidAfterASeek", commitAfterSeek},
		{"CommitsOfAGroupStandAlone", commitGroup},
	}
}

// commit flushes lazy commits a minute after the start.
func (k *kit) commit(commits ...service.OffsetCommit) {
	k.Helper()
	k.ok(k.CommitOffsets(k.Context(), commits, after(time.Minute)))
}

func commitForward(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	want := k.consumer(head.Name, "c", 2)
	for _, row := range []struct{ commit, want service.Offset }{{1, 2}, {2, 2}, {3, 3}, {0, 3}, {5, 5}, {4, 5}} {
		k.commit(service.OffsetCommit{Consumer: want.ID, Offset: row.commit})
		if row.want != want.Offset {
			want.Offset, want.LastSeen = row.want, kept(after(time.Minute))
		}
		equal(k, fmt.Sprintf("consumer after a commit of %d", row.commit), k.consumerNow(want.ID), want)
	}
	k.commit()
}

func commitAfterSeek(k *kit) {
	head := k.topic("a")
	k.fill(head, 5)
	c := k.consumer(head.Name, "c", 0)
	k.commit(service.OffsetCommit{Consumer: c.ID, Offset: 4})
	c, err := k.Seek(k.Context(), service.SeekRequest{Consumer: c.ID, Offset: 1}, start())
	k.ok(err)
	k.commit(service.OffsetCommit{Consumer: c.ID, Offset: 5, SeekNo: 0}, service.OffsetCommit{Consumer: c.ID, Offset: 5, SeekNo: 2})
	equal(k, "consumer", k.consumerNow(c.ID), c)
	k.commit(service.OffsetCommit{Consumer: c.ID, Offset: 2, SeekNo: 1})
	equal(k, "position", k.consumerNow(c.ID).Offset, 2)
}

func commitGroup(k *kit) {
	a, b := k.topic("a"), k.topic("b")
	k.fill(a, 5)
	k.fill(b, 5)
	c, d, e := k.consumer(a.Name, "c", 0), k.consumer(b.Name, "d", 3), k.consumer(a.Name, "e", 0)
	k.ok(k.UnregisterConsumer(k.Context(), a.Name, e.ID))
	k.commit(
		service.OffsetCommit{Consumer: e.ID, Offset: 1}, service.OffsetCommit{Consumer: d.ID, Offset: 2},
		service.OffsetCommit{Consumer: c.ID, Offset: 4}, service.OffsetCommit{Consumer: c.ID, Offset: 2},
		service.OffsetCommit{Consumer: 1, Offset: 1})
	equal(k, "position of c, committed twice", k.consumerNow(c.ID).Offset, 4)
	equal(k, "position of d, committed back", k.consumerNow(d.ID).Offset, 3)
	rows, err := k.Consumers(k.Context(), []service.ConsumerID{e.ID})
	k.ok(err)
	equal(k, "consumer that was unregistered", rows, nil)
}
