package netlink

import (
	"math"
	"net/netip"
	"syscall"
)

// This file answers for what does not change: the rules that choose a routing table (ip rule) and the
// queueing disciplines of the cards (tc qdisc).

// Constants of linux/fib_rules.h and linux/pkt_sched.h.
const (
	ruleTable      = 15 // FRA_TABLE
	ruleSuppress   = 14 // FRA_SUPPRESS_PREFIXLEN
	rulePriority   = 6  // FRA_PRIORITY
	ruleProtocol   = 21 // FRA_PROTOCOL
	ruleToTable    = 1  // FR_ACT_TO_TBL
	mainPriority   = 32766
	protocolKernel = 2 // RTPROT_KERNEL

	qdiscKind    = 1 // TCA_KIND
	qdiscOptions = 2 // TCA_OPTIONS
)

// rules adds the two rules that there are for each family: addresses of the machine, then the main
// table.
func (a *answer) rules() {
	for _, f := range []uint8{syscall.AF_INET, syscall.AF_INET6} {
		if a.wants(f) {
			a.rule(f, syscall.RT_TABLE_LOCAL, 0)
			a.rule(f, syscall.RT_TABLE_MAIN, mainPriority)
		}
	}
}

// rule adds an RTM_NEWRULE message: struct fib_rule_hdr and attributes.
func (a *answer) rule(family, table uint8, priority uint32) {
	a.message(syscall.RTM_NEWRULE, syscall.NLM_F_MULTI, a.r.seq, a.port)
	a.u8(family, 0, 0, 0, table, 0, 0, ruleToTable)
	a.u32(0)
	a.attribute32(ruleTable, uint32(table))
	a.attribute32(ruleSuppress, math.MaxUint32)
	a.attribute8(ruleProtocol, protocolKernel)
	if priority != 0 {
		a.attribute32(rulePriority, priority)
	}
}

// qdiscs adds the queueing discipline of each card: a queue for as many packets as QueueLength
// says, first in, first out.
func (a *answer) qdiscs() {
	for _, i := range a.source.Interfaces() {
		if a.wantsIndex(4, i.Index) {
			a.qdisc(&i)
		}
	}
}

// qdisc adds an RTM_NEWQDISC message: struct tcmsg and attributes. What is sent over the loopback
// interface does not wait.
func (a *answer) qdisc(i *Interface) {
	a.message(syscall.RTM_NEWQDISC, syscall.NLM_F_MULTI, a.r.seq, a.port)
	a.u32(syscall.AF_UNSPEC)
	a.u32(uint32(i.Index))
	a.u32(0)              // handle
	a.u32(math.MaxUint32) // parent: TC_H_ROOT
	a.u32(2)              // references
	if i.Flags&syscall.IFF_LOOPBACK != 0 {
		a.attributeString(qdiscKind, "noqueue")
		return
	}
	a.attributeString(qdiscKind, "pfifo")
	a.attribute32(qdiscOptions, uint32(i.QueueLength)) // struct tc_fifo_qopt
}

// anywhere is the destination of a route request without one: Linux looks for a packet that the
// machine sends to itself.
func anywhere(family uint8) (netip.Addr, bool) {
	switch family {
	case syscall.AF_INET:
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	case syscall.AF_INET6:
		return netip.IPv6Loopback(), true
	}
	return netip.Addr{}, false
}
