package kernel

// This file is /sys as in sysfs(5): the few files that programs and the Go runtime read.

const sysfsMagic = 0x62656572 // SYSFS_MAGIC

func (k *Kernel) buildSys() *genFS {
	fs := newGenFS(k, "sysfs", sysfsMagic, 21)
	fs.size = pageSize
	if fillSys != nil {
		fillSys(fs)
	}
	return fs
}

func (fs *genFS) addSysFiles() {
	cpus := func(k *Kernel, b []byte) []byte {
		n, _ := k.m.CPUs()
		return append(append(b, cpuList(n)...), '\n')
	}
	fs.addTable(genTable{
		{"devices/system/cpu/online", cpus, nil},
		{"devices/system/cpu/possible", cpus, nil},
		{"devices/system/cpu/present", cpus, nil},
	})
	for i := range cpuCount(fs.k) {
		fs.addCPU(i)
	}
	fs.addTexts("", nil,
		"kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n",
		"kernel/mm/transparent_hugepage/defrag", "always defer defer+madvise [madvise] never\n",
		"kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n",
		"devices/system/node/online", "0\n",
		"devices/system/clocksource/clocksource0/available_clocksource", "tsc \n",
		"devices/system/clocksource/clocksource0/current_clocksource", "tsc\n",
		"devices/system/cpu/isolated", "\n",
		"devices/system/cpu/kernel_max", "63\n",
		"devices/system/cpu/offline", "\n",
	)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, dir := range [...]string{
		"fs/cgroup", "class/net", "class/block", "class/thermal", "class/hwmon", "class/power_supply", "class/dmi/id",
		"block", "bus/pci/devices", "devices/system/node/node0", "module", "kernel/debug",
	} {
		fs.dir(dir)
	}
}

// addCPU adds the folder of a CPU. Each is a core of its own, all in one package.
func (fs *genFS) addCPU(i int) {
	id, n := utoa(uint64(i)), cpuCount(fs.k)
	fs.addTexts("devices/system/cpu/cpu"+id+"/topology/", nil,
		"core_id", id+"\n",
		"core_siblings_list", cpuList(n)+"\n",
		"physical_package_id", "0\n",
		"thread_siblings_list", id+"\n",
	)
}

func cpuCount(k *Kernel) int {
	n, _ := k.m.CPUs()
	return n
}
