package netlink

import (
	"encoding/binary"
	"syscall"
)

// This file answers NETLINK_GENERIC (Documentation/userspace-api/netlink/intro.rst): the controller,
// which tells the numbers of families by their names. There is no family but itself.

// Constants of linux/genetlink.h.
const (
	genericHeader = 4    // struct genlmsghdr: command, version, 2 bytes
	controllerID  = 0x10 // GENL_ID_CTRL, also the first type that is not netlink's own

	commandNewFamily = 1
	commandGetFamily = 3

	familyID       = 1 // CTRL_ATTR_FAMILY_ID and those that follow
	familyName     = 2
	familyVersion  = 3
	familyHeader   = 4
	familyMaximum  = 5
	familyCommands = 6
	familyGroups   = 7

	controllerName      = "nlctrl"
	controllerVersion   = 2
	controllerGroup     = "notify" // its only group, with its own number
	commandID           = 1        // CTRL_ATTR_OP_ID
	commandFlags        = 2        // CTRL_ATTR_OP_FLAGS
	groupName           = 1        // CTRL_ATTR_MCAST_GRP_NAME
	groupID             = 2        // CTRL_ATTR_MCAST_GRP_ID
	getFamilyAbilities  = 0x2 | 0x4 | 0x8
	controllerVersion16 = controllerVersion<<8 | commandNewFamily
)

// serveGeneric answers a.r, as genl_rcv_msg and netlink_rcv_skb do.
func (a *answer) serveGeneric() {
	e := syscall.Errno(0)
	if a.r.flags&syscall.NLM_F_REQUEST != 0 && a.r.typ >= controllerID {
		if e = a.controller(); e == 0 && a.r.dump() {
			a.done(a.r, a.port, 0)
			return
		}
	}
	if e != 0 || a.r.flags&syscall.NLM_F_ACK != 0 {
		a.status(a.r, a.port, e, a.capped)
	}
}

// controller answers a request to the controller.
func (a *answer) controller() syscall.Errno {
	b := a.r.body()
	switch {
	case a.r.typ != controllerID:
		return syscall.ENOENT
	case len(b) < genericHeader:
		return syscall.EINVAL
	case b[0] != commandGetFamily:
		return syscall.EOPNOTSUPP
	case a.r.dump():
		a.family(syscall.NLM_F_MULTI)
		return 0
	}
	id, name := a.r.attribute(genericHeader, familyID), a.r.attribute(genericHeader, familyName)
	switch {
	case len(id) >= 2 && binary.NativeEndian.Uint16(id) == controllerID, string(name) == controllerName+"\x00", string(name) == controllerName:
		a.family(0)
		return 0
	case id == nil && name == nil:
		return syscall.EINVAL
	}
	return syscall.ENOENT
}

// family adds the message that describes the controller.
func (a *answer) family(flags uint16) {
	a.message(controllerID, flags, a.r.seq, a.port)
	a.u16(controllerVersion16)
	a.u16(0)
	a.attributeString(familyName, controllerName)
	a.attribute(familyID, binary.NativeEndian.AppendUint16(nil, controllerID))
	a.attribute32(familyVersion, controllerVersion)
	a.attribute32(familyHeader, 0)
	a.attribute32(familyMaximum, 0) // each command has its own
	var command encoder
	command.attribute32(commandID, commandGetFamily)
	command.attribute32(commandFlags, getFamilyAbilities)
	var commands encoder
	commands.attribute(1, command.buf)
	a.attribute(familyCommands, commands.buf)
	var group encoder
	group.attribute32(groupID, controllerID)
	group.attributeString(groupName, controllerGroup)
	var groups encoder
	groups.attribute(1, group.buf)
	a.attribute(familyGroups, groups.buf)
}
