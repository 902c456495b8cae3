/*
 * A PV guest for x86-64 that fits into 4 MiB and boots in no time.
 *
 * It checks what the domain builder gave it (P2M, ramdisk), says so on its console, echoes what is
 * typed there, and obeys control/shutdown. Its command line's first word may be:
 *   idle      say hello, then block for ever
 *   crash     say hello, then crash
 *   poweroff  say hello, then power off; reboot likewise
 *
 * Variants, by -D: WITH_INIT_P2M, WITH_MOD_START_PFN, WITHOUT_HYPERCALL_PAGE.
 *
 * Sources: xen/include/public/{xen,elfnote,event_channel,sched,vcpu}.h, io/{console,xs_wire}.h,
 * arch-x86/xen-x86_64.h; docs/misc/xenstore.txt.
 *
 * Registers, everywhere: rbx start-info, r12 console page, r13 store page, r14 reason of shutdown.
 * Functions clobber the rest. Hypercalls clobber their arguments, rax, rcx and r11.
 */
	.intel_syntax noprefix

#define VIRT_BASE		0xffffffff80000000
#define INIT_P2M_BASE		0x8000000000
#define MACH2PHYS		0xffff800000000000

#define HYPERVISOR_update_va_mapping	14
#define HYPERVISOR_vcpu_op		24
#define HYPERVISOR_sched_op		29
#define HYPERVISOR_event_channel_op	32
#define UVMF_INVLPG			2
#define VCPUOP_stop_periodic_timer	7
#define SCHEDOP_shutdown		2
#define SCHEDOP_poll			3
#define EVTCHNOP_send			4
#define SHUTDOWN_poweroff		0
#define SHUTDOWN_reboot			1
#define SHUTDOWN_crash			3

/* start_info */
#define NR_PAGES	32
#define SHARED_INFO	40
#define FLAGS		48
#define STORE_MFN	56
#define STORE_EVTCHN	64
#define CONSOLE_MFN	72
#define CONSOLE_EVTCHN	80
#define MFN_LIST	104
#define MOD_START	112
#define MOD_LEN		120
#define CMD_LINE	128
#define SIF_MOD_START_PFN 8

/* shared_info */
#define EVTCHN_PENDING	2048

/* xencons_interface */
#define CONS_OUT	1024
#define CONS_IN_CONS	3072
#define CONS_IN_PROD	3076
#define CONS_OUT_CONS	3080
#define CONS_OUT_PROD	3084

/* xenstore_domain_interface, xsd_sockmsg */
#define STORE_RSP	1024
#define STORE_REQ_CONS	2048
#define STORE_REQ_PROD	2052
#define STORE_RSP_CONS	2056
#define STORE_RSP_PROD	2060
#define XS_READ		2
#define XS_WATCH	4
#define XS_WRITE	11
#define XS_WATCH_EVENT	15
#define MSG_TYPE	0
#define MSG_REQ_ID	4
#define MSG_LEN		12
#define PAYLOAD_MAX	4096
#define ACK_ID		99

	.macro elfnote type:req, desc:vararg
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 2f - 1f, \type
	.asciz "Xen"
1:	\desc
2:	.balign 4
	.text
	.endm

	elfnote 6, .asciz "tiny"			/* GUEST_OS */
	elfnote 7, .asciz "1"				/* GUEST_VERSION */
	elfnote 8, .asciz "generic"			/* LOADER */
	elfnote 5, .asciz "xen-3.0"			/* XEN_VERSION */
	elfnote 3, .quad VIRT_BASE			/* VIRT_BASE */
	elfnote 4, .quad 0				/* PADDR_OFFSET */
	elfnote 1, .quad _start				/* ENTRY */
#ifndef WITHOUT_HYPERCALL_PAGE
	elfnote 2, .quad hypercall_page			/* HYPERCALL_PAGE */
#endif
#ifdef WITH_INIT_P2M
	elfnote 15, .quad INIT_P2M_BASE			/* INIT_P2M */
#endif
#ifdef WITH_MOD_START_PFN
	elfnote 16, .long 1				/* MOD_START_PFN */
#endif

	.macro hypercall number:req
#ifdef WITHOUT_HYPERCALL_PAGE
	mov	eax, \number
	syscall
#else
	call	hypercall_page + \number * 32
#endif
	.endm

	.text
	.globl _start
_start:
	cld
	mov	rbx, rsi
	mov	edi, VCPUOP_stop_periodic_timer
	xor	esi, esi
	xor	edx, edx
	hypercall HYPERVISOR_vcpu_op
	lea	rdi, [rip + shared_info]
	mov	rsi, [rbx + SHARED_INFO]
	call	map_frame
	mov	rdi, [rbx + CONSOLE_MFN]
	call	address_of_mfn
	mov	r12, rax
	mov	rdi, [rbx + STORE_MFN]
	call	address_of_mfn
	mov	r13, rax

	lea	rsi, [rip + hello]
	call	print
	lea	rsi, [rbx + CMD_LINE]
	call	print
	call	newline
	call	check_p2m
	call	show_module
	call	notify_console

	lea	rdi, [rip + words]
	lea	rsi, [rbx + CMD_LINE]
	call	find_word
	cmp	eax, -1
	je	serve
	cmp	eax, -2
	je	idle
	mov	r14d, eax
	jmp	shut_down

/* Block for ever. A poll of no ports: no event can wake it, and no upcall be missed. */
idle:
	xor	edx, edx
	call	poll_ports
	jmp	idle

/* Announce, watch, and answer what the store says. */
serve:
	lea	rsi, [rip + greetings]
	mov	ecx, offset greetings_end - greetings
	call	send
next_message:
	lea	rdi, [rip + message]
	mov	ecx, 16
	call	receive
	mov	ecx, [rip + message + MSG_LEN]
	cmp	ecx, PAYLOAD_MAX
	ja	broken
	lea	rdi, [rip + body]
	mov	byte ptr [rdi + rcx], 0
	call	receive
	call	notify_store			/* there is space in the ring again */
	mov	eax, [rip + message + MSG_TYPE]
	cmp	eax, XS_WATCH_EVENT
	je	look
	cmp	dword ptr [rip + message + MSG_REQ_ID], ACK_ID
	je	shut_down			/* even if the acknowledgement was refused */
	cmp	eax, XS_READ
	jne	next_message
	lea	rdi, [rip + requests]
	lea	rsi, [rip + body]
	call	find_word
	cmp	eax, -1
	je	next_message
	mov	r14d, eax
	lea	rsi, [rip + obeying]
	call	print
	lea	rsi, [rip + body]
	call	print
	call	newline
	call	notify_console
	lea	rsi, [rip + acknowledge]
	mov	ecx, offset acknowledge_end - acknowledge
	call	send
	jmp	next_message
look:
	lea	rsi, [rip + look_at]
	mov	ecx, offset look_at_end - look_at
	call	send
	jmp	next_message

broken:
	mov	r14d, SHUTDOWN_crash
shut_down:
	mov	[rip + argument], r14d
	mov	edi, SCHEDOP_shutdown
	lea	rsi, [rip + argument]
	hypercall HYPERVISOR_sched_op
	ud2

/* rdi: table of {string, 32-bit value}, ended by an empty string; rsi: text. eax: value of the first that
 * is the text's first word; else -1. */
find_word:
	mov	r8, rsi
	cmp	byte ptr [rdi], 0
	je	4f
1:	mov	al, [rdi]
	test	al, al
	jz	2f
	inc	rdi
	lodsb
	cmp	al, [rdi - 1]
	je	1b
3:	mov	al, [rdi]			/* another word: skip to its end */
	inc	rdi
	test	al, al
	jnz	3b
	add	rdi, 4
	mov	rsi, r8
	jmp	find_word
2:	mov	al, [rsi]
	test	al, al
	jz	5f
	cmp	al, ' '
	jne	3b
5:	mov	eax, [rdi + 1]
	ret
4:	mov	eax, -1
	ret

/* Every frame of the P2M leads back to its pfn through Xen's M2P. */
check_p2m:
	mov	rsi, [rbx + MFN_LIST]
#ifdef WITH_INIT_P2M
	mov	rax, INIT_P2M_BASE
	cmp	rsi, rax
	jne	2f
#endif
	mov	rdx, MACH2PHYS
	xor	ecx, ecx
1:	mov	rax, [rsi + rcx * 8]
	cmp	[rdx + rax * 8], rcx
	jne	2f
	inc	rcx
	cmp	rcx, [rbx + NR_PAGES]
	jb	1b
	lea	rsi, [rip + p2m_good]
	call	print
	mov	rax, [rbx + NR_PAGES]
	call	print_hex
	jmp	newline
2:	push	rcx
	lea	rsi, [rip + p2m_bad]
	call	print
	pop	rax
	call	print_hex
	jmp	newline

/* The ramdisk's length, and its first printable bytes (32 at most). */
show_module:
	mov	rax, [rbx + MOD_LEN]
	test	rax, rax
	jz	9f
	lea	rsi, [rip + module]
	call	print
	mov	rax, [rbx + MOD_LEN]
	call	print_hex
	mov	al, ' '
	call	print_char
	mov	rsi, [rbx + MOD_START]
	test	dword ptr [rbx + FLAGS], SIF_MOD_START_PFN
	jz	1f
	mov	rax, [rbx + MFN_LIST]		/* not mapped: do it */
	mov	rsi, [rax + rsi * 8]
	shl	rsi, 12
	lea	rdi, [rip + window]
	call	map_frame
	lea	rsi, [rip + window]
1:	mov	ecx, 32
2:	lodsb
	cmp	al, ' '
	jbe	3f
	cmp	al, 127
	jae	3f
	push	rcx
	push	rsi
	call	print_char
	pop	rsi
	pop	rcx
	loop	2b
3:	jmp	newline
9:	ret

/* rdi: a page of ours; rsi: machine address of the frame that is to be there. */
map_frame:
	or	rsi, 0x63			/* present, writable, accessed, dirty */
	mov	edx, UVMF_INVLPG
	hypercall HYPERVISOR_update_va_mapping
	test	rax, rax
	jnz	broken
	ret

/* rdi: mfn of one of our frames; rax: where it is mapped. */
address_of_mfn:
	mov	rax, MACH2PHYS
	mov	rax, [rax + rdi * 8]
	shl	rax, 12
	mov	rcx, VIRT_BASE
	add	rax, rcx
	ret

/* rsi: string. */
print:
	lodsb
	test	al, al
	jz	1f
	push	rsi
	call	print_char
	pop	rsi
	jmp	print
1:	ret

newline:
	mov	al, '\n'

/* al: character. Waits for space in the ring. */
print_char:
	mov	ecx, [r12 + CONS_OUT_PROD]
	mov	edx, ecx
	sub	edx, [r12 + CONS_OUT_CONS]
	cmp	edx, 2048
	jae	1f
	mov	edx, ecx
	and	edx, 2047
	mov	[r12 + rdx + CONS_OUT], al
	inc	ecx
	mov	[r12 + CONS_OUT_PROD], ecx
	ret
1:	push	rax
	call	notify_console
	call	wait_for_event
	pop	rax
	jmp	print_char

/* rax: number. */
print_hex:
	mov	ecx, 64
1:	sub	ecx, 4
	jz	2f				/* the last digit, even if zero */
	mov	rdx, rax
	shr	rdx, cl
	jz	1b
2:	push	rax
	push	rcx
	shr	rax, cl
	and	eax, 15
	lea	rdx, [rip + digits]
	mov	al, [rdx + rax]
	call	print_char
	pop	rcx
	pop	rax
	sub	ecx, 4
	jns	2b
	ret

/* Echo what was typed. */
echo:
	mov	ecx, [r12 + CONS_IN_CONS]
	cmp	ecx, [r12 + CONS_IN_PROD]
	je	1f
	mov	edx, ecx
	and	edx, 1023
	mov	al, [r12 + rdx]
	inc	ecx
	mov	[r12 + CONS_IN_CONS], ecx
	call	print_char
	call	notify_console
	jmp	echo
1:	ret

/* rsi, ecx: bytes to send to the store. */
send:
	push	rcx
	push	rsi
1:	mov	edx, [r13 + STORE_REQ_PROD]
	mov	eax, edx
	sub	eax, [r13 + STORE_REQ_CONS]
	cmp	eax, 1024
	jb	2f
	call	notify_store
	call	wait_for_event
	jmp	1b
2:	pop	rsi
	pop	rcx
	lodsb
	mov	edi, edx
	and	edi, 1023
	mov	[r13 + rdi], al
	inc	edx
	mov	[r13 + STORE_REQ_PROD], edx
	dec	ecx
	jnz	send
	jmp	notify_store

/* rdi, ecx: where to put bytes from the store. */
receive:
	test	ecx, ecx
	jz	2f
	mov	edx, [r13 + STORE_RSP_CONS]
	cmp	edx, [r13 + STORE_RSP_PROD]
	jne	1f
	push	rcx
	push	rdi
	call	notify_store
	call	wait_for_event
	call	echo
	pop	rdi
	pop	rcx
	jmp	receive
1:	mov	eax, edx
	and	eax, 1023
	mov	al, [r13 + rax + STORE_RSP]
	stosb
	inc	edx
	mov	[r13 + STORE_RSP_CONS], edx
	dec	ecx
	jmp	receive
2:	ret

notify_store:
	mov	eax, [rbx + STORE_EVTCHN]
	jmp	notify
notify_console:
	mov	eax, [rbx + CONSOLE_EVTCHN]
notify:
	mov	[rip + argument], eax
	mov	edi, EVTCHNOP_send
	lea	rsi, [rip + argument]
	hypercall HYPERVISOR_event_channel_op
	ret

/* Until store or console have an event; who waits looks at its ring before and after. */
wait_for_event:
	mov	eax, [rbx + STORE_EVTCHN]
	mov	[rip + ports], eax
	mov	eax, [rbx + CONSOLE_EVTCHN]
	mov	[rip + ports + 4], eax
	mov	edx, 2
	call	poll_ports
	mov	eax, [rbx + STORE_EVTCHN]
	lock btr [rip + shared_info + EVTCHN_PENDING], eax
	mov	eax, [rbx + CONSOLE_EVTCHN]
	lock btr [rip + shared_info + EVTCHN_PENDING], eax
	ret

/* edx: how many of `ports` to poll. */
poll_ports:
	lea	rax, [rip + ports]
	lea	rsi, [rip + poll]
	mov	[rsi], rax
	mov	[rsi + 8], edx
	mov	edi, SCHEDOP_poll
	hypercall HYPERVISOR_sched_op
	ret

	.section .rodata, "a"
hello:		.asciz "tiny guest up: "
p2m_good:	.asciz "tiny guest p2m: good, pages "
p2m_bad:	.asciz "tiny guest p2m: BAD at pfn "
module:		.asciz "tiny guest module: "
obeying:	.asciz "tiny guest obeys: "
digits:		.ascii "0123456789abcdef"

	.macro word text:req, value:req
	.asciz "\text"
	.long \value
	.endm
words:
	word	"idle", -2
	word	"crash", SHUTDOWN_crash
	word	"poweroff", SHUTDOWN_poweroff
	word	"reboot", SHUTDOWN_reboot
	.byte	0
requests:
	word	"poweroff", SHUTDOWN_poweroff
	word	"halt", SHUTDOWN_poweroff
	word	"reboot", SHUTDOWN_reboot
	.byte	0

	.macro request type:req, id:req, payload:vararg
	.long \type, \id, 0, 2f - 1f
1:	.ascii \payload
2:
	.endm
greetings:
	request XS_WRITE, 1, "control/feature-poweroff\0", "1"
	request XS_WRITE, 2, "control/feature-reboot\0", "1"
	request XS_WATCH, 3, "control/shutdown\0", "token\0"
greetings_end:
look_at:
	request XS_READ, 4, "control/shutdown\0"
look_at_end:
acknowledge:
	request XS_WRITE, ACK_ID, "control/shutdown\0"
acknowledge_end:

	.section .pages, "awx", @progbits
	.balign 4096
#ifndef WITHOUT_HYPERCALL_PAGE
hypercall_page:
	.skip 4096, 0xcc
#endif

	.bss
	.balign 4096
shared_info:	.skip 4096
window:		.skip 4096
poll:		.skip 24
ports:		.skip 8
argument:	.skip 8
message:	.skip 16
body:		.skip PAYLOAD_MAX + 1
