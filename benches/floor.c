/* floor: what the kernel itself costs for a pod of N containers, and nothing more.
 *
 * usage: floor N ROOTFS SCRATCH PROGRAM [ARG...]
 *
 * One user namespace with the one-id map; in it, for each container: pid, mount, net-sharing, ipc, uts and cgroup namespaces, an
 * overlay of ROOTFS, proc, sysfs, a tmpfs /dev with six bound nodes, devpts, shm and a shared tmpfs, pivot_root, and PROGRAM.
 * No images, no logs, no last wall, no seccomp, no supervision: podling is measured as a ratio to this.
 *
 * SCRATCH is a directory; each run makes one of its own in it and leaves it there. Build: cc -O2 -static -o floor floor.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(call) do { if ((call) < 0) { fprintf(stderr, "floor: %s: %s\n", #call, strerror(errno)); _exit(1); } } while (0)

static const char *rootfs, *scratch;

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd);
	CHECK(write(fd, text, strlen(text)));
	close(fd);
}

static pid_t clone_with(unsigned long long flags)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };
	return syscall(SYS_clone3, &args, sizeof args);
}

static void bind_device(const char *name)
{
	char from[64], to[8192];
	snprintf(from, sizeof from, "/dev/%s", name);
	snprintf(to, sizeof to, "%s/root/dev/%s", scratch, name);
	int fd = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	CHECK(fd);
	close(fd);
	CHECK(mount(from, to, NULL, MS_BIND, NULL));
}

static void container(int n, char **argv)
{
	static const char *devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
	char root[4096], path[8192], options[16384];
	snprintf(root, sizeof root, "%s/root", scratch);
	snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/upper%d,workdir=%s/work%d,userxattr,volatile",
		 rootfs, scratch, n, scratch, n);
	CHECK(mount("overlay", root, "overlay", 0, options));
#define AT(name) (snprintf(path, sizeof path, "%s/" name, root), path)
	mkdir(AT("proc"), 0755), mkdir(AT("sys"), 0755), mkdir(AT("dev"), 0755), mkdir(AT("shared"), 0755);
	CHECK(mount("proc", AT("proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	CHECK(mount("sysfs", AT("sys"), "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL));
	CHECK(mount("tmpfs", AT("dev"), "tmpfs", MS_NOSUID, "mode=755,size=64k"));
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		bind_device(devices[i]);
	mkdir(AT("dev/pts"), 0755), mkdir(AT("dev/shm"), 0755);
	CHECK(mount("devpts", AT("dev/pts"), "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"));
	CHECK(mount("tmpfs", AT("dev/shm"), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m"));
	char shared[8192];
	snprintf(shared, sizeof shared, "%s/shared", scratch);
	CHECK(mount(shared, AT("shared"), NULL, MS_BIND, NULL));
	CHECK(chdir(root));
	CHECK(syscall(SYS_pivot_root, ".", "."));
	CHECK(umount2(".", MNT_DETACH));
	CHECK(chdir("/"));
	execv(argv[0], argv);
	fprintf(stderr, "floor: execv(%s): %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void pod(int containers, char **argv)
{
	char path[8192];
	int failed = 0;
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(sethostname("floor", 5));
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(fd);
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	CHECK(ioctl(fd, SIOCSIFFLAGS, &lo));
	close(fd);
	snprintf(path, sizeof path, "%s/shared", scratch);
	CHECK(mkdir(path, 0755));
	CHECK(mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=777"));
	snprintf(path, sizeof path, "%s/root", scratch);
	CHECK(mkdir(path, 0755));
	for (int n = 0; n < containers; n++) {
		snprintf(path, sizeof path, "%s/upper%d", scratch, n);
		CHECK(mkdir(path, 0755));
		snprintf(path, sizeof path, "%s/work%d", scratch, n);
		CHECK(mkdir(path, 0755));
	}
	for (int n = 0; n < containers; n++) {
		pid_t pid = clone_with(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWCGROUP);
		CHECK(pid);
		if (pid == 0)
			container(n, argv);
	}
	for (int status; wait(&status) > 0;)
		failed |= status;
	_exit(failed ? 1 : 0);
}

int main(int argc, char **argv)
{
	int go[2], status;
	char map[64], path[64], own[2048];
	if (argc < 5) {
		fprintf(stderr, "usage: floor N ROOTFS SCRATCH PROGRAM [ARG...]\n");
		return 2;
	}
	rootfs = argv[2];
	snprintf(own, sizeof own, "%s/%d", argv[3], getpid());
	scratch = own;
	CHECK(mkdir(scratch, 0755));
	CHECK(pipe2(go, O_CLOEXEC));
	pid_t pid = clone_with(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
	CHECK(pid);
	if (pid == 0) {
		char byte;
		close(go[1]);
		CHECK(read(go[0], &byte, 1));
		pod(atoi(argv[1]), argv + 4);
	}
	snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
	put(path, "deny");
	snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
	snprintf(map, sizeof map, "0 %d 1", getuid());
	put(path, map);
	snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
	snprintf(map, sizeof map, "0 %d 1", getgid());
	put(path, map);
	CHECK(write(go[1], "g", 1));
	CHECK(waitpid(pid, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
