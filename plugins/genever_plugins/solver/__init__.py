"""Solvers: from noise to data along a field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("solver.Ancestral", "genever_plugins.solver.ancestral:Ancestral")
    registry.add("solver.AnnealedLangevin", "genever_plugins.solver.annealed_langevin:AnnealedLangevin")
    registry.add("solver.CPS", "genever_plugins.solver.cps:CPS")
    registry.add("solver.ConstantSDE", "genever_plugins.solver.constant_sde:ConstantSDE")
    registry.add("solver.DDIM", "genever_plugins.solver.ddim:DDIM")
    registry.add("solver.DPMSolver", "genever_plugins.solver.dpm_solver:DPMSolver")
    registry.add("solver.Euler", "genever_plugins.solver.euler:Euler")
    registry.add("solver.EulerMaruyama", "genever_plugins.solver.euler_maruyama:EulerMaruyama")
    registry.add("solver.FlowSDE", "genever_plugins.solver.flow_sde:FlowSDE")
    registry.add("solver.Heun", "genever_plugins.solver.heun:Heun")
    registry.add("solver.RandomWindow", "genever_plugins.solver.random_window:RandomWindow")
    registry.add("solver.SlidingWindow", "genever_plugins.solver.sliding_window:SlidingWindow")
