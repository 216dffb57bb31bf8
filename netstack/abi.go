package netstack

// These are constants of the Linux/amd64 ABI that package syscall lacks, from
// asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h, linux/udp.h,
// linux/errqueue.h and linux/sockios.h.
const (
	sockMax = 11 // SOCK_MAX

	soReusePort      = 15
	soPeekOff        = 42
	soBusyPoll       = 46
	soMaxPacingRate  = 47
	soIncomingCPU    = 49
	soAttachBPF      = 50
	soCookie         = 57
	soZerocopy       = 60
	soTimestampNew   = 63
	soTimestampNSNew = 64
	soRcvTimeoNew    = 66
	soSndTimeoNew    = 67
	soPriority       = 12
	soMark           = 36
	soTimestamp      = 29
	soTimestampNS    = 35
	soProtocol       = 38
	soDomain         = 39
	soRxqOvfl        = 40
	soNoCheck        = 11
	soSndBufForce    = 32
	soRcvBufForce    = 33

	tcpThinLinear    = 16
	tcpThinDupack    = 17
	tcpUserTimeout   = 18
	tcpRepair        = 19
	tcpFastOpen      = 23
	tcpTimestamp     = 24
	tcpNotSentLowat  = 25
	tcpFastOpenConn  = 30
	tcpULP           = 31
	tcpInq           = 36
	tcpTxDelay       = 37
	tcpFastOpenNoCok = 34

	tcpCANameMax = 16 // TCP_CA_NAME_MAX

	udpCork = 1

	ipRecvOpts          = 6
	ipRetOpts           = 7
	ipMTU               = 14
	ipPMTUDiscInterface = 4 // IP_PMTUDISC_INTERFACE
	ipPMTUDiscOmit      = 5 // IP_PMTUDISC_OMIT
	ipTransparent       = 19
	ipBindNoPort        = 24
	ipRecvOrigDstAddr   = 20
	ipMinTTL            = 21
	ipNoDefrag          = 22
	ipChecksum          = 23
	ipFreebind          = 15
	ipMulticastAll      = 49
	ipUnicastIf         = 50
	ipLocalPortRange    = 51
	ipRouterAlert       = 5
	ipRecvFragSize      = 25
	ipPktOptions        = 9
	mcastJoinGroup      = 42
	mcastLeaveGroup     = 45
	ipv6RecvPktInfo     = 49
	ipv6PktInfo         = 50
	ipv6RecvHopLimit    = 51
	ipv6HopLimit        = 52
	ipv6RecvTClass      = 66
	ipv6TClass          = 67
	ipv6RecvErr         = 25
	ipv6AddrForm        = 1
	ipv6FlowInfo        = 11
	ipv6FlowInfoSend    = 33
	ipv6DontFrag        = 62
	ipv6RecvPathMTU     = 60
	ipv6PathMTU         = 61
	ipv6RecvRtHdr       = 56
	ipv6RecvHopOpts     = 53
	ipv6RecvDstOpts     = 58
	ipv6AddrPref        = 72
	ipv6MinHopCount     = 73
	ipv6OrigDstAddr     = 74
	ipv6Transparent     = 75
	ipv6UnicastIf       = 76
	ipv6Freebind        = 78
	ipv6AutoFlowLabel   = 70
	ipv6MulticastAll    = 29
	icmpv6Filter        = 1
	icmpFilterOpt       = 1
	extendedErrLen      = 16
	soEEOriginLocal     = 1
	soEEOriginICMP      = 2
	soEEOriginICMP6     = 3
	ifNameSize          = 16
	ifreqSize           = 40
	siocOutqNSD         = 0x894b
	siocGIfIndex        = 0x8933
	siocGIfTxQLen       = 0x8942
	siocGStamp          = 0x8906
	arphrdEther         = 1
	arphrdLoopback      = 772
	minSendBuffer       = 4608 // SOCK_MIN_SNDBUF
	minReceiveBuffer    = 2304 // SOCK_MIN_RCVBUF
	tcpInfoSize         = 104  // struct tcp_info up to tcpi_total_retrans
	maxKeepaliveSecs    = 32767
	maxKeepaliveProbes  = 127
)
