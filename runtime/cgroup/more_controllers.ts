import type { LinuxNetwork, LinuxResources } from "../spec/types.ts";
import { pathOf, ValidationError } from "../spec/validation_error.ts";
import type { Setting } from "./setting.ts";

/**
 * hugetlb (Documentation/admin-guide/{cgroup-v1/hugetlb.rst,cgroup-v2.rst}): what is used, and what is reserved, which
 * kernels before 5.7 do not count.
 */
export function hugetlbSettings({ hugepageLimits }: LinuxResources, version: 1 | 2): Setting[] {
  const name = version === 1 ? "limit_in_bytes" : "max";
  return hugepageLimits.flatMap(({ pageSize, limit }, i): Setting[] => {
    const field = `linux.resources.hugepageLimits[${i}]`;
    const setting = { field, controller: "hugetlb", value: String(limit) };
    return [
      { ...setting, file: `hugetlb.${pageSize}.${name}` },
      { ...setting, file: `hugetlb.${pageSize}.rsvd.${name}`, optional: true },
    ];
  });
}

/** rdma.max, which both versions have (Documentation/admin-guide/cgroup-v1/rdma.rst). */
export function rdmaSettings({ rdma }: LinuxResources): Setting[] {
  return Object.keys(rdma).map((device) => {
    const { hcaHandles, hcaObjects } = rdma[device] ?? {};
    const words = [
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ];
    return {
      field: pathOf("linux.resources.rdma", device),
      controller: "rdma",
      file: "rdma.max",
      value: `${device} ${words.join(" ")}`,
      readBack: (text) =>
        text.split("\n").find((line) => line.startsWith(`${device} `)) ??
          `${device} hca_handle=max hca_object=max`,
    };
  });
}

/** net_cls and net_prio, which only v1 has (Documentation/admin-guide/cgroup-v1/net_{cls,prio}.rst). */
export function networkSettings({ classID, priorities }: LinuxNetwork): Setting[] {
  return [
    ...(classID === undefined ? [] : [{
      field: "linux.resources.network.classID",
      controller: "net_cls",
      file: "net_cls.classid",
      value: String(classID),
    }]),
    ...priorities.map(({ name, priority }, i) => ({
      field: `linux.resources.network.priorities[${i}]`,
      controller: "net_prio",
      file: "net_prio.ifpriomap",
      value: `${name} ${priority}`,
      readBack: (text: string) =>
        text.split("\n").find((line) => line.startsWith(`${name} `)) ?? `${name} 0`,
    })),
  ];
}

/** On v2 there is nothing to write these to. @throws {ValidationError} */
export function refuseNetwork({ classID, priorities }: LinuxNetwork): void {
  if (classID === undefined && priorities.length === 0) return;
  const name = classID === undefined ? "priorities" : "classID";
  throw new ValidationError(
    `linux.resources.network.${name}`,
    "cgroup v2 has no network classes and priorities",
  );
}

/** `unified`: files of cgroup v2, as they are. The controller is what stands before the first dot. */
export function unifiedSettings({ unified }: LinuxResources): Setting[] {
  return Object.keys(unified).map((file) => ({
    field: pathOf("linux.resources.unified", file),
    controller: file.slice(0, file.indexOf(".")),
    file,
    value: unified[file] ?? "",
  }));
}

/** On v1 those files are not there. @throws {ValidationError} */
export function refuseUnified({ unified }: LinuxResources): void {
  const [file] = Object.keys(unified);
  if (file === undefined) return;
  throw new ValidationError(
    pathOf("linux.resources.unified", file),
    "is for cgroup v2, and this machine has cgroup v1",
  );
}
