"""What a placement leaves open and every backend needs to know: the program, ports, folders, images."""

from __future__ import annotations

from dataclasses import dataclass

VLLM_IMAGE = "vllm/vllm-openai:v0.32.0"
SGLANG_IMAGE = "lmsysorg/sglang:v0.5.15"
ENGINES = ("vllm", "sglang")


@dataclass(frozen=True, slots=True)
class Options:
    """How engines are started, whatever gives them their parts.

    Attributes:
        engine: ``vllm`` or ``sglang``.
        program: Starts the engine; () takes the engine's own command.
        extra: Flags at the end of every engine's command line.
        adapters: Folder with one directory per adapter, for those whose own is not known; "" for none.
        host: Address that local engines listen on.
        first_port: Port of the first engine; the others follow.
        ports: Ports by engine name, over ``first_port``.
        kv_bytes_per_token: KV cache of one token by base, for SGLang, which counts its budget in tokens;
            without it, every slot at full length is counted.
        control: Whether engines take orders while they run (load an adapter, sleep): for loopback only, since
            such orders need no key.
        sleep: Whether such engines can be put to sleep, where their device allows it.
        mps_folder: Folder of the pipes and logs of MPS daemons.
        hami_library: HAMi-core's library.
        mig_uuids: UUIDs of MIG devices by GPU index and profile, in the order of ``nvidia-smi -L``.
        image: Container image; "" takes the engine's own.
        namespace: Kubernetes namespace.
        models_claim: PersistentVolumeClaim with bases and adapters, "" for none.
        models_path: Where it is mounted.
        queue: Queue of the KAI scheduler.
        lora_path: Folder or bucket with one folder per adapter, for Ray.
        pin_nodes: Whether pods are bound to the node names of the placement.
    """

    engine: str = "vllm"
    program: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    adapters: str = ""
    host: str = "127.0.0.1"
    first_port: int = 8500
    ports: tuple[tuple[str, int], ...] = ()
    kv_bytes_per_token: tuple[tuple[str, int], ...] = ()
    control: bool = True
    sleep: bool = True
    mps_folder: str = "/tmp/offramp-mps"  # noqa: S108 - the daemon's own default lies in /tmp
    hami_library: str = "/usr/local/vgpu/libvgpu.so"
    mig_uuids: tuple[tuple[int, str, str], ...] = ()
    image: str = ""
    namespace: str = "default"
    models_claim: str = ""
    models_path: str = "/models"
    queue: str = "offramp"
    lora_path: str = ""
    pin_nodes: bool = False

    @property
    def container_image(self) -> str:
        """The image to run."""
        return self.image or (SGLANG_IMAGE if self.engine == "sglang" else VLLM_IMAGE)
